"""Every request of a load test, as lines of a CSV file that is written while the load runs."""

import csv
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from loadtests.load.results import RequestResult

COLUMNS = (
    *("caller", "task", "model", "due_s", "sent_s", "first_token_s", "ended_s"),
    *("tokens", "items", "outcome", "retry_after_s"),
)
BEGAN = "# began at "
# Outcomes of streams that began with status 200.
CUT_OFF, ERROR_IN_STREAM = "StreamCutOff", "ErrorInStream"


@dataclass(slots=True)
class RequestRecord(RequestResult):
    """A request of a load test.

    Attributes:
        caller: the kind of caller.
        task: the task of the model.
        model: the name of the model.
        items: number of inputs in the request.
        first: when the first token of a stream arrived.
        tokens: number of tokens that arrived.
    """

    caller: str = ""
    task: str = ""
    model: str = ""
    items: int = 1
    first: float | None = None
    tokens: int = 0

    @property
    def first_token_s(self) -> float | None:
        """Time to first token."""
        return None if self.first is None else self.first - self.due

    @property
    def token_s(self) -> float | None:
        """Mean time per output token, after the first."""
        return None if self.first is None or self.tokens < 2 else (self.ended - self.first) / (self.tokens - 1)


class Recorder:
    """Writes a line when a request ends, and keeps the clock of the load.

    Args:
        path: of the file; empty to write nothing.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: IO[str] | None = None
        self._write: Callable[[Any], Any] | None = None
        self._began = time.perf_counter()

    def begin(self) -> None:
        """Start the clock."""
        self._began = time.perf_counter()
        if self._path:
            self._file = Path(self._path).open("w", newline="")  # noqa: SIM115 (closed by `close`)
            self._file.write(f"{BEGAN}{time.time():.3f}\n")
            writer = csv.writer(self._file)
            writer.writerow(COLUMNS)
            self._file.flush()
            self._write = writer.writerow

    def now(self) -> float:
        """Seconds since the start of the load."""
        return time.perf_counter() - self._began

    def add(self, record: RequestRecord) -> None:
        if self._write is not None:
            self._write(_row(record))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def began_at(path: Path) -> float | None:
    """When the load began, as `time.time()`; None if it has not begun."""
    first = path.read_text().partition("\n")[0] if path.exists() else ""
    return float(first.removeprefix(BEGAN)) if first.startswith(BEGAN) else None


def read_records(path: Path) -> list[RequestRecord]:
    """All requests of a file, in the order in which they ended."""
    lines = path.read_text().splitlines()
    return [_record(row) for row in csv.DictReader(line for line in lines if not line.startswith("#"))]


def _row(record: RequestRecord) -> tuple[Any, ...]:
    times = (record.due, record.sent, record.first, record.ended)
    written = ("" if at is None else f"{at:.4f}" for at in times)
    retry_after = "" if record.retry_after is None else record.retry_after
    request = (record.caller, record.task, record.model)
    return (*request, *written, record.tokens, record.items, record.outcome, retry_after)


def _record(row: dict[str, str]) -> RequestRecord:
    return RequestRecord(
        due=float(row["due_s"]),
        sent=float(row["sent_s"]),
        ended=float(row["ended_s"]),
        outcome=row["outcome"],
        retry_after=_float(row["retry_after_s"]),
        caller=row["caller"],
        task=row["task"],
        model=row["model"],
        items=int(row["items"]),
        first=_float(row["first_token_s"]),
        tokens=int(row["tokens"]),
    )


def _float(text: str) -> float | None:
    return float(text) if text else None
