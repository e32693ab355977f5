"""Starts a worker of Ray as a fork of the fork server, in place of a new Python. Ray runs this script as interpreter.

    python -I -S fork_client.py torch MODULES worker.py arguments…

The first argument is `torch` or `openvino`: what the worker computes with, and so which libraries its server imports.
`MODULES` are the names of further modules that the server imports, joined by commas. It is started by the first client
on a node. If anything fails before the fork, this process becomes a plain Python that runs the worker.

Only the standard library may be imported here, and little of it: the script runs once for each worker, without site.
"""

import array
import json
import os
import select
import socket
import struct
import sys
import time
from typing import NoReturn

BIND_TIMEOUT_S = 30.0  # a new server listens before it imports anything
IMPORT_TIMEOUT_S = 120.0  # torch and transformers, on a machine that may be busy
RETRY_S = 0.02


def main() -> None:
    kind, modules, *arguments = sys.argv[1:]
    python = [sys.executable, *arguments]
    while arguments and arguments[0].startswith("-"):  # of the interpreter, such as -u
        arguments = arguments[1:]
    try:
        worker = _fork(kind, modules, arguments)
    except OSError as error:
        print(f"no fork server, a new Python starts: {error}", file=sys.stderr)
        os.execv(sys.executable, python)
    # Ray watches this process while the worker starts. It ends with the worker, whose end closes the connection. A
    # shell that waits needs a tenth of Python's memory.
    os.dup2(worker.fileno(), 3)
    os.set_inheritable(3, True)
    os.execv("/bin/sh", ["sh", "-c", "read -r _ <&3"])


def _fork(kind: str, modules: str, arguments: list[str]) -> socket.socket:
    """The connection to a new worker, which has this process's environment, folder and standard streams."""
    connection = _connected(kind, modules)
    connection.settimeout(IMPORT_TIMEOUT_S)
    request = {"arguments": arguments, "environment": dict(os.environ), "folder": os.getcwd()}
    body = json.dumps(request).encode()
    streams = array.array("i", [0, 1, 2])
    connection.sendmsg([struct.pack("!I", len(body))], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams)])
    connection.sendall(body)
    if not connection.recv(1):
        raise OSError("it closed the connection; its reason is above")
    connection.settimeout(None)
    return connection


def _connected(kind: str, modules: str) -> socket.socket:
    """A connection to this node's server of a kind, which is started if there is none."""
    raylet = os.getppid()
    address = f"automodel-fork-{kind}-{os.getuid()}-{raylet}-{_start_time(raylet)}"
    end = time.monotonic() + BIND_TIMEOUT_S
    connection = _try_connect(address)
    if connection is not None:
        return connection
    ended = _start_server(kind, address, raylet, modules)
    while True:
        has_ended = bool(select.select([ended], [], [], RETRY_S)[0])
        connection = _try_connect(address)
        if connection is not None:
            os.close(ended)
            return connection
        if has_ended:
            raise OSError("it ended while it started; its reason is above")
        if time.monotonic() > end:
            raise OSError(f"it does not listen after {BIND_TIMEOUT_S:g} s")


def _try_connect(address: str) -> "socket.socket | None":
    """A connection to the server; it has no file, so anybody could have taken its address."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect("\0" + address)
    except ConnectionRefusedError:
        connection.close()
        return None
    _, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if user != os.getuid():
        connection.close()
        raise OSError(f"its address is taken by the user {user}")
    return connection


def _start_server(kind: str, address: str, raylet: int, modules: str) -> int:
    """Start a server; of several that start at once, the first stays. Returns a pipe that ends with the server."""
    ended, open_end = os.pipe()
    child = os.fork()
    if child == 0:
        _become_server(kind, address, raylet, modules, open_end)
    os.close(open_end)
    os.waitpid(child, 0)
    return ended


def _become_server(kind: str, address: str, raylet: int, modules: str, open_end: int) -> NoReturn:
    os.set_inheritable(open_end, True)
    os.setsid()
    if os.fork():  # the server is nobody's child, so that its end leaves nothing to wait for
        os._exit(0)
    # Nothing that one worker sets may stay for all: each fork sets its number of threads.
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    command = [sys.executable, "-m", "deployments.replica.fork_server", kind, address, str(raylet), modules]
    os.execve(sys.executable, command, environment | {"OPENBLAS_NUM_THREADS": "1"})


def _start_time(process: int) -> str:
    """When a process started, in clock ticks since the machine did: ids are used again."""
    with open(f"/proc/{process}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[19]


if __name__ == "__main__":
    main()
