"""ForwardTask: a task whose rows are answered by one forward each, many rows at a time, through a layout."""

from abc import abstractmethod
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

from deployments.checkpoint import Checkpoint
from deployments.contract.task import Output, RequestT, ResponseT, Row, Task

if TYPE_CHECKING:
    from deployments.layouts.text import BatchOutput, Layout


class ForwardTask(Task[RequestT, ResponseT]):
    """The model reads rows and that is it."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint)
        self.layout: Layout | None = None  # set once the check at load has chosen

    @abstractmethod
    def forward(self, rows: Sequence[Row], params: Hashable) -> Sequence[Output]:
        """One model call for all `rows`; one output per row, in order."""

    def run(self, rows: Sequence[Row]) -> "BatchOutput":
        """The model's output for all rows, through the layout that was chosen at load."""
        assert self.layout is not None, "no layout chosen yet"
        return self.layout.run(rows)

    @abstractmethod
    def layouts(self) -> "Sequence[Layout]":
        """The layouts worth trying, best first; the last one must be right for every model."""
