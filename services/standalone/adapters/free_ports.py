"""Free loopback ports, outside of the range from which the system takes ports for outgoing connections.

A client that keeps dialling a dead server on a port of that range can be given the very same port as its
own and then talks to itself, which looks like a server that came back; and any other connection may take
the port meanwhile.
"""

import errno
import random
import socket

from services.runtime.addresses import HostPort

FIRST, LAST = 20_000, 32_000
"""Below 32768 (Linux, ip_local_port_range) and 49152 (macOS)."""
_TRIES = 500


def free_port(host: str, taken: set[int], rng: random.Random) -> int:
    """A port that nobody listens on now and that is not in `taken`, to which it is added. Raises OSError if
    there is none."""
    for _ in range(_TRIES):
        port = rng.randint(FIRST, LAST)
        if port not in taken and is_free(HostPort(host, port)):
            taken.add(port)
            return port
    raise OSError(errno.EADDRINUSE, f"no free port from {FIRST} to {LAST} on {host}")


def is_free(address: HostPort) -> bool:
    """Whether one can listen on the address now. Raises OSError when the address itself is impossible
    (another machine's)."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free enough
        try:
            probe.bind((address.host, address.port))
            probe.listen(1)
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise
    return True
