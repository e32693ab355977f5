"""One server to measure: started in a process of its own, waited for, and ended by its process ids."""

import signal
import subprocess
import sys
import tempfile
import time
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
from serve.ports import free_port

START_LIMIT_S = 300
STOP_LIMIT_S = 40


class ServerError(Exception):
    """A server did not come up."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers."""

    port: int
    tree: ProcessTree
    start_s: float


@contextmanager
def running(
    module: str,
    arguments: Sequence[str],
    path: str,
    body: str,
    *,
    model: str | None = None,
    threads: int = 1,
    limit_s: float = START_LIMIT_S,
) -> Iterator[Server]:
    """`python -m MODULE ARGUMENTS --port PORT` from its first answer at `path` to its end.

    Args:
        module: the server's.
        arguments: of its command line.
        path: where it is asked until it answers.
        body: what it is asked.
        model: what the answer's `x-model` must say; another service on this machine might answer in its place.
        threads: compute threads.
        limit_s: for its first answer.

    Raises:
        ServerError: it ended or never answered; the message has the end of what it printed.
    """
    port, mark = free_port(), uuid.uuid4().hex
    command = [sys.executable, "-m", module, *arguments, "--port", str(port)]
    began = time.monotonic()
    with tempfile.NamedTemporaryFile(prefix="bench-", suffix=".log") as log:
        environment = child_environment(mark, threads=threads)
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        tree = ProcessTree(process.pid, mark, process.pid)
        try:
            url = f"http://127.0.0.1:{port}{path}"
            if not wait_until(lambda: process.poll() is not None or _answers(url, body, model), limit_s, 0.5):
                raise ServerError(f"{module} did not answer within {limit_s:.0f} s\n{_end_of(log.name)}")
            if process.poll() is not None:
                raise ServerError(f"{module} ended with {process.returncode}\n{_end_of(log.name)}")
            yield Server(port, tree, time.monotonic() - began)
        finally:
            _end(process, tree)


def _answers(url: str, body: str, model: str | None) -> bool:
    request = urllib.request.Request(url, body.encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status == 200 and (model is None or answer.headers.get("x-model") == model)
    except (urllib.error.URLError, OSError):
        return False


def _end(process: "subprocess.Popen[bytes]", tree: ProcessTree) -> None:
    """SIGTERM, wait, and kill what of its own processes is left then."""
    tree.processes()  # remember those that would not be found once their parents are gone
    process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_LIMIT_S)
    wait_until(lambda: not _alive(tree), 10, 0.2)
    for left in _alive(tree):
        with suppress(psutil.Error):
            left.kill()
    process.wait(10)


def _alive(tree: ProcessTree) -> list[psutil.Process]:
    return [process for process in tree.processes() if _is_alive(process)]


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _end_of(log: str, lines: int = 30) -> str:
    return "\n".join(Path(log).read_text(errors="replace").splitlines()[-lines:])
