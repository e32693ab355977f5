"""The fork server: a process that has imported the libraries, of which workers of Ray are forks.

Importing them takes most of a replica's start and of its own memory. A fork has both at once, and shares the memory.
The method is that of `multiprocessing`'s fork server and of Android's zygote. Ray knows a worker by a token, not by the
process that it started, so that a worker may be a fork of another process.

    python -m deployments.replica.fork_server torch|openvino ADDRESS RAYLET MODULES

A node has one for replicas that compute with torch, and one without torch for those that run builds of OpenVINO.

It serves the workers of one node, and ends with the node's raylet. Linux only.

What a fork needs: no thread before it; no `ray`, which reads the environment once and whose random ids would be the
same in all forks; random generators of its own; a session of its own, since Ray kills groups of processes.
"""

import array
import gc
import importlib
import json
import os
import random
import runpy
import select
import signal
import socket
import struct
import sys
from typing import Any, NoReturn

from deployments.openvino.graph import forbid_reports
from deployments.openvino.without_torch import forbid_torch

# What Ray Serve imports of others, and what all tasks need of transformers. A model's own files are imported in the
# fork.
_SHARED = (
    "fastapi",
    "jsonschema",
    "numpy",
    "requests",
    "uvicorn",
    "transformers",
    "transformers.models.auto.processing_auto",
    "transformers.models.auto.tokenization_auto",
)
LIBRARIES = {
    "torch": (
        "torch",
        *_SHARED,
        "transformers.generation.utils",
        "transformers.modeling_utils",
        "transformers.models.auto.modeling_auto",
    ),
    "openvino": (*_SHARED, "openvino"),
}

CLIENT_TIMEOUT_S = 10.0  # for a client to send its request


def main() -> None:
    kind, address, raylet, modules = sys.argv[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        try:
            listener.bind("\0" + address)  # no file: it ends with this process
        except OSError:  # another server was faster
            return
        listener.listen(128)  # clients wait while this imports
        if kind == "openvino":
            forbid_torch()
            forbid_reports()
        for name in (*modules.split(","), *LIBRARIES[kind]):
            importlib.import_module(name)
        if "ray" in sys.modules:
            raise SystemExit("fork server: a module that it imports imports ray")
        if (threads := len(os.listdir("/proc/self/task"))) != 1:
            raise SystemExit(f"fork server: the imports have started {threads - 1} threads")
        _leave_streams()
        gc.collect()
        gc.freeze()  # or the collector would write to every page, and none would stay shared
        serve(listener, int(raylet))


def _leave_streams() -> None:
    """Let go of the first client's streams, to which a failure until here has been written."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for place in range(3):
        os.dup2(nowhere, place)
    os.close(nowhere)


def serve(listener: socket.socket, raylet: int) -> None:
    """Fork a worker for each client, until the raylet ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the workers
    watched = os.pidfd_open(raylet)
    while True:
        ready, _, _ = select.select([listener.fileno(), watched], [], [])
        if watched in ready:
            return
        connection, _ = listener.accept()
        try:
            request, streams = _receive(connection)
        except (OSError, ValueError):  # the client has gone, or is none of ours
            connection.close()
            continue
        if os.fork() == 0:
            listener.close()
            os.close(watched)
            _become_worker(request, streams, connection)
        connection.close()
        for stream in streams:
            os.close(stream)


def _receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """A client's request, and its standard streams.

    Raises:
        ValueError: it is not whole, or another user's.
    """
    _, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if user != os.getuid():
        raise ValueError(f"the client is the user {user}")
    connection.settimeout(CLIENT_TIMEOUT_S)
    streams = array.array("i")
    head, control, _, _ = connection.recvmsg(4, socket.CMSG_SPACE(3 * streams.itemsize))
    for level, kind, data in control:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            streams.frombytes(data)
    size, body = int.from_bytes(head, "big"), b""
    while len(body) < size:
        chunk = connection.recv(size - len(body))
        if not chunk:
            raise ValueError("the request is cut short")
        body += chunk
    if len(streams) != 3:
        raise ValueError("the request has no streams")
    return json.loads(body), list(streams)


def _become_worker(request: dict[str, Any], streams: list[int], connection: socket.socket) -> NoReturn:
    """Run the client's program in this process, and end as Python ends.

    The connection stays open as long as the process runs, for the client to see.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    for place, stream in enumerate(streams):
        os.dup2(stream, place)
        os.close(stream)
    # Ray replaces these objects, and the descriptors must stay open when the old ones go.
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    _new_random_state()
    sys.argv = request["arguments"]
    connection.settimeout(None)
    connection.sendall(b"1")
    runpy.run_path(sys.argv[0], run_name="__main__")
    sys.exit()


def _new_random_state() -> None:
    import numpy as np

    random.seed()
    np.random.seed(int.from_bytes(os.urandom(4), "big"))


if __name__ == "__main__":
    main()
