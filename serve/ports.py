"""Free ports for what is started a little later."""

import random
import socket

# Not from the kernel's own choice (a bind to port 0): it gives the same ports to outgoing connections and to Ray's
# processes, and in the seconds until HAProxy binds its own one of them may have taken it. Linux chooses from 32768 on;
# Ray's workers listen from 10002 to 19999, its replicas from 30000 and 40000 on.
FIRST, LAST = 20_000, 29_999
TRIES = 100


def free_port() -> int:
    """A TCP port that nobody listens on now and that the kernel gives to nobody by itself.

    Raises:
        OSError: none was found.
    """
    for _ in range(TRIES):
        port = random.randint(FIRST, LAST)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind(("", port))  # every interface, so that no single one has it either
            except OSError:
                continue
            return port
    raise OSError(f"no free port from {FIRST} to {LAST} in {TRIES} tries")
