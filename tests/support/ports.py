"""Loopback ports for processes under test: nobody listens on them, no test beside this is given them."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket

_SLICES, _SLICE = 12, 1_000
_MINE = int(os.environ.get("PYTEST_XDIST_WORKER", "gw-1").removeprefix("gw")) + 1
_BEGIN = os.getpid() * 37 % _SLICE
"""Runs in other work trees on the same machine count through the same ports, but begin elsewhere."""
_ports = itertools.cycle(
    20_000 + _MINE % _SLICES * _SLICE + (_BEGIN + step) % _SLICE for step in range(_SLICE)
)


def free_port() -> int:
    """A loopback port that nobody listens on now, and that no test beside this one is given.

    Each process of a parallel test run counts through a thousand ports of its own, below the range from
    which systems lend out client ports: one of those would be taken before the service binds it.
    """
    while True:
        port = next(_ports)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
