"""Job: the rows of one item in the queue and in the model. Settleable: work that ends exactly once."""

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any

from deployments.telemetry.measurements import BatchReport

if TYPE_CHECKING:
    from deployments.telemetry.tracing.call_trace import CallTrace


@dataclass(slots=True, eq=False, kw_only=True)
class Settleable:
    """Work that ends exactly once, with a result or with an error, whichever thread comes first.

    Attributes:
        done: called once with this object, by the thread that settled it; must not block.
        deadline: on `time.monotonic()`'s clock, like all times here.
        error: why there is no result; None while there may be one.
        submitted: when it was queued; 0 before.
        started: when its first row entered the model; 0 before.
        finished: when it was settled; 0 before.
    """

    done: Callable[[Any], None] = lambda settled: None
    deadline: float = float("inf")
    error: BaseException | None = None
    submitted: float = 0.0
    started: float = 0.0
    finished: float = 0.0
    is_settled: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def settle(self, error: BaseException | None = None, finished: float | None = None) -> bool:
        """End it with a result, or with an error. Returns False if it had ended before."""
        with self.lock:
            if self.is_settled:
                return False
            self.is_settled, self.error = True, error
        self._finish(finished)
        return True

    def _finish(self, finished: float | None) -> None:
        self.finished = time.monotonic() if finished is None else finished
        self.done(self)


@dataclass(slots=True, eq=False)
class Job(Settleable):
    """One item's rows. Settled when all outputs are there, or with the error of the first row that fails.

    Attributes:
        rows: each with a `length`.
        costs: one for each row, in the task's unit.
        params: only rows with equal params may share a forward.
        on_token: called on the model thread with each generated token; None if nothing is streamed.
        outputs: one for each row; None until it is there.
        report: of the batch that ran last.
        missing: rows without an output.
        trace: of the call; None if it is not traced.
    """

    rows: Sequence[Any]
    costs: Sequence[int]
    params: Hashable
    _: KW_ONLY
    on_token: Callable[[Any], None] | None = None
    outputs: list[Any] = field(default_factory=list)
    report: BatchReport | None = None
    missing: int = 0
    trace: "CallTrace | None" = None

    def queued(self) -> None:
        """Record that its rows are in the queue now."""
        self.submitted = time.monotonic()
        self.outputs = [None] * len(self.rows)
        self.missing = len(self.rows)

    def set_output(self, index: int, output: Any, report: BatchReport | None, finished: float | None = None) -> None:
        """Set a row's output; the last one settles the job. Ignored once the job has ended."""
        with self.lock:
            if self.is_settled:
                return
            self.outputs[index] = output
            self.report = report
            self.missing -= 1
            is_last = self.is_settled = not self.missing
        if is_last:  # decided under the lock: of two threads with the last two rows, one finishes the job
            self._finish(finished)
