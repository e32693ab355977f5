"""Job: one item's rows on their way through the model."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from deployments.telemetry.measurements import BatchReport

if TYPE_CHECKING:
    from deployments.telemetry.tracing.call_trace import CallTrace


@dataclass(slots=True, eq=False)
class Job:
    """One item's rows.

    `done` is called once, from the model thread (or from the caller of `cancel`/`stop`), with this job: `outputs` are
    complete or `error` says why not. `on_piece` is called from the model thread with each piece of the answer as it
    comes, where the model writes in pieces.
    """

    rows: Sequence[Any]  # each with a `length`
    costs: Sequence[int]
    params: Hashable
    done: Callable[["Job"], None]
    deadline: float = float("inf")  # time.monotonic()
    on_piece: Callable[[Any], None] | None = None
    outputs: list[Any] = field(default_factory=list)
    error: BaseException | None = None
    report: BatchReport | None = None  # of the batch that ran last
    submitted: float = 0.0
    started: float = 0.0  # when the first of its rows entered the model
    finished: float = 0.0
    missing: int = 0
    trace: "CallTrace | None" = None  # of the call, where it is traced

    @property
    def settled(self) -> bool:
        return self.error is not None or self.missing == 0
