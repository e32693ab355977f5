"""A child process that answers calls over its standard input and output, one JSON document per line."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any


class ChildError(Exception):
    """The child ended instead of answering."""


class Child:
    """`python -m MODULE ARGUMENTS`, for as long as the context lasts; `python` is this one by default."""

    def __init__(
        self, module: str, *arguments: str, environment: Mapping[str, str], python: str = sys.executable
    ) -> None:
        self._command = [python, "-m", module, *arguments]
        self._environment = dict(environment)

    def __enter__(self) -> "Child":
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self._environment,
            text=True,
            start_new_session=True,  # Linux divides cores among sessions: a child gets the same share as a server
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def call(self, argument: Any) -> Any:
        """Send an argument and wait for the result.

        Raises:
            ChildError: the child ended instead of answering.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(argument) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise ChildError(f"{' '.join(self._command[1:])} exited with status {self._process.wait(10)}")
        return json.loads(line)


def answer_calls(function: Callable[[Any], Any]) -> None:
    """The child's side: answer calls until the parent closes the pipe."""
    out = sys.stdout
    sys.stdout = sys.stderr  # a library's output must not be read as a result
    for line in sys.stdin:
        out.write(json.dumps(function(json.loads(line))) + "\n")
        out.flush()


def wait_until(is_done: Callable[[], bool], seconds: float, pause_s: float = 0.1) -> bool:
    """Poll until the condition holds or the time is over; whether it holds."""
    until = time.monotonic() + seconds
    while not is_done():
        if time.monotonic() > until:
            return False
        time.sleep(pause_s)
    return True
