"""Starts a server to measure, waits until it answers, and stops it by its process ids."""

import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from loadtests.processes.child import wait_until
from loadtests.processes.environment import child_environment
from loadtests.processes.process_tree import ProcessTree
from serve.cluster.launch import free_port

START_LIMIT_S = 300
STOP_LIMIT_S = 40


class ServerError(Exception):
    """A server did not start."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    port: int
    tree: ProcessTree


@contextmanager
def running_server(
    module: str,
    arguments: Sequence[str],
    path: str,
    body: str,
    *,
    model: str | None = None,
    threads: int = 1,
    limit_s: float = START_LIMIT_S,
) -> Iterator[Server]:
    """`python -m MODULE ARGUMENTS --port PORT`, from its first response with status 200 until the context ends.

    Args:
        module: the server's module.
        arguments: command-line arguments.
        path: of the request that is sent until it is answered.
        body: of that request.
        model: expected `x-model` header: another service on this machine might answer in its place.
        threads: compute threads.
        limit_s: time limit for the first response.

    Raises:
        ServerError: it exited or did not answer in time; the message ends with its last output.
    """
    port, mark = free_port(), uuid.uuid4().hex
    command = [sys.executable, "-m", module, *arguments, "--port", str(port)]
    with tempfile.NamedTemporaryFile(prefix="bench-", suffix=".log") as log:
        environment = child_environment(mark, threads=threads)
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        tree = ProcessTree(process.pid, mark, process.pid)
        try:
            url = f"http://127.0.0.1:{port}{path}"
            if not wait_until(lambda: process.poll() is not None or _answers(url, body, model), limit_s, 0.5):
                raise ServerError(f"{module} did not answer within {limit_s:.0f} s\n{_last_lines(log.name)}")
            if process.poll() is not None:
                raise ServerError(f"{module} exited with status {process.returncode}\n{_last_lines(log.name)}")
            yield Server(port, tree)
        finally:
            _stop(process, tree)


def _answers(url: str, body: str, model: str | None) -> bool:
    request = urllib.request.Request(url, body.encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status == 200 and (model is None or answer.headers.get("x-model") == model)
    except (urllib.error.URLError, OSError):
        return False


def _stop(process: "subprocess.Popen[bytes]", tree: ProcessTree) -> None:
    """Send SIGTERM, wait, and kill its processes that are still running."""
    tree.processes()  # remembers processes that cannot be found once their parents are gone
    process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_LIMIT_S)
    wait_until(lambda: not _running(tree), 10, 0.2)
    for left in _running(tree):
        with suppress(psutil.Error):
            left.kill()
    process.wait(10)


def _running(tree: ProcessTree) -> list[psutil.Process]:
    return [process for process in tree.processes() if _is_running(process)]


def _is_running(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _last_lines(log: str, lines: int = 30) -> str:
    return "\n".join(Path(log).read_text(errors="replace").splitlines()[-lines:])
