"""A child process that takes orders: one JSON line in, one JSON line out. Keeps work out of this process."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

ORDER_LIMIT_S = 1200


class ChildError(Exception):
    """The child died or could not do what it was told."""


class Child:
    """`python -m MODULE ARGUMENTS`, for as long as the context lasts."""

    def __init__(self, module: str, *arguments: str, environment: Mapping[str, str]) -> None:
        self._command = [sys.executable, "-m", module, *arguments]
        self._environment = dict(environment)

    def __enter__(self) -> "Child":
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self._environment,
            text=True,
            start_new_session=True,  # Linux shares its cores among sessions: each child gets what each server gets
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

    def order(self, order: Any) -> Any:
        """Hand over one order and wait for what comes of it.

        Raises:
            ChildError: the child ended instead of answering.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise ChildError(f"{' '.join(self._command[1:])} ended with {self._process.wait(10)}")
        return json.loads(line)


def take_orders(do: Callable[[Any], Any]) -> None:
    """The child's side: answer every order until the parent has no more."""
    out = sys.stdout
    sys.stdout = sys.stderr  # what a library prints must not look like an answer
    for line in sys.stdin:
        out.write(json.dumps(do(json.loads(line))) + "\n")
        out.flush()


def wait_until(done: Callable[[], bool], seconds: float, pause_s: float = 0.1) -> bool:
    """Poll until `done` or the time is over; whether it was done."""
    until = time.monotonic() + seconds
    while not done():
        if time.monotonic() > until:
            return False
        time.sleep(pause_s)
    return True
