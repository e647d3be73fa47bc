"""MTProto from the server's side: framing, key exchange, envelopes, links."""
