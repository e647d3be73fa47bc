"""The lease core, the worker's fence and the scheduler core, run together through seeded disasters in
virtual time.

What runs is the shipped code: the registry's `Sessions` and `Generations` over the in-memory lease store,
the worker's `LeaseKeeper`, `Acquirer`, `Releaser`, `Gate`, `Fleet` with its terms, `Outbox` and
`StreamKeeper`, and the scheduler's `Core`. What is simulated is everything around them: processes with an
event loop and clocks of their own (`loop`), the network (`network`), etcd, the database and Telegram
(`outside`), the election and the driver (`scheduler`), a session's client (`session`). One seed is one
history: two registries at most, two schedulers, two or three workers, four to six accounts, half a minute
of faults (`faults`), then everything is mended and all that is wanted must run again.

`judge` shares no code with what it judges. It sees each byte that passes a gate and says: never two
holders of a key at once, nor the next one within S of an unclean end; tokens only rise; nobody's older
word counts; no command and no commit of an older term; in the end everything runs that should.

    python -m tests.simulation --seeds 5000          # from seed 1 on, as `make simulate` does
    python -m tests.simulation --seed 77 --trace     # one history, told
    python -m tests.simulation --bug no_settle       # with a bug planted (bugs.py): runs until it is caught

The same seed gives the same trace, whatever PYTHONHASHSEED says.
"""
