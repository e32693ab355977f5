"""What became of every request, as lines of a CSV file that is written while the load runs."""

import csv
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from loadtests.load.open_load import Asked
from loadtests.load.statistics import ANSWERED

COLUMNS = (
    *("caller", "task", "model", "due_s", "sent_s", "first_token_s", "ended_s"),
    *("tokens", "items", "outcome", "retry_after_s"),
)
BEGAN = "# began at "
# Outcomes of streams whose answer began with 200.
CUT_OFF, ERROR_IN_STREAM = "StreamCutOff", "ErrorInStream"


@dataclass(slots=True)
class Record(Asked):
    """A request and what became of it; seconds since the load began.

    Attributes:
        caller: kind of the caller.
        task: what was asked.
        model: who was asked.
        items: inputs of the request.
        first: when the first token of a stream came.
        tokens: how many came.
    """

    caller: str = ""
    task: str = ""
    model: str = ""
    items: int = 1
    first: float | None = None
    tokens: int = 0

    @property
    def is_answered(self) -> bool:
        return self.outcome == ANSWERED

    @property
    def latency_s(self) -> float:
        """From when it was due: a caller that a slow service makes late has waited, too."""
        return self.ended - self.due

    @property
    def first_token_s(self) -> float | None:
        return None if self.first is None else self.first - self.due

    @property
    def token_s(self) -> float | None:
        """Mean time of the tokens after the first."""
        return None if self.first is None or self.tokens < 2 else (self.ended - self.first) / (self.tokens - 1)


class Recorder:
    """Writes lines as requests end; without a path it only keeps the time.

    Args:
        path: of the file.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: IO[str] | None = None
        self._write: Callable[[Any], Any] | None = None
        self._began = time.perf_counter()

    def begin(self) -> None:
        """The load begins now."""
        self._began = time.perf_counter()
        if self._path:
            self._file = Path(self._path).open("w", newline="")  # noqa: SIM115 (closed when all has ended)
            self._file.write(f"{BEGAN}{time.time():.3f}\n")
            writer = csv.writer(self._file)
            writer.writerow(COLUMNS)
            self._file.flush()
            self._write = writer.writerow

    def now(self) -> float:
        """Seconds since the load began."""
        return time.perf_counter() - self._began

    def add(self, record: Record) -> None:
        if self._write is not None:
            self._write(_row(record))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def began_at(path: Path) -> float | None:
    """When the load began, as `time.time()`; None while it has not."""
    first = path.read_text().partition("\n")[0] if path.exists() else ""
    return float(first.removeprefix(BEGAN)) if first.startswith(BEGAN) else None


def read_records(path: Path) -> list[Record]:
    """All requests of a file, in the order in which they ended."""
    lines = path.read_text().splitlines()
    return [_record(row) for row in csv.DictReader(line for line in lines if not line.startswith("#"))]


def _row(record: Record) -> tuple[Any, ...]:
    times = (record.due, record.sent, record.first, record.ended)
    told = ("" if at is None else f"{at:.4f}" for at in times)
    after = "" if record.retry_after is None else record.retry_after
    return (record.caller, record.task, record.model, *told, record.tokens, record.items, record.outcome, after)


def _record(row: dict[str, str]) -> Record:
    return Record(
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
