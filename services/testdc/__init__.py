"""The test data centre: a local Telegram that stock clients reach over real MTProto.

    domain/      what exists and what is decided: people, boxes, keys, faults, journal, judge. Pure.
    mtproto/     the protocol from the server's side: framing, key exchange, envelopes, one dialogue per link
    api/         Telegram's methods over the domain, in the TL classes of kurigram (the client's own layer)
    desk.py      one call on its way: faults, the key's life, the method, who must hear of it
    centre.py    listens and brings links, keys and the desk together
    handlers.py  the control API as plain functions; servicer.py serves it, embed.py offers it in-process
    adapters/    session material, journal file, state file

A new API method is one function with `@method(...)` in api/, a new misbehaviour one FaultKind and a line in
domain/faults.py. Transfers (forwarding) and login (codes, two-step verification) come with later issues.
"""
