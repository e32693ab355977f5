"""ForwardTask: a task whose rows are answered by one forward each, many rows at a time, through a layout."""

from abc import abstractmethod
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

from deployments.line import Opened
from deployments.task import Output, RequestT, ResponseT, Row, Task

if TYPE_CHECKING:
    from deployments.checkpoint import Checkpoint
    from deployments.layout import LaidOut, Layout
    from deployments.observer import Observer


class ForwardTask(Task[RequestT, ResponseT]):
    """The model reads rows and that is it."""

    def __init__(self, checkpoint: "Checkpoint") -> None:
        super().__init__(checkpoint)
        self.layout: Layout | None = None  # set once the check at load has chosen

    @abstractmethod
    def forward(self, rows: Sequence[Row], params: Hashable) -> Sequence[Output]:
        """One model call for all `rows`; one output per row, in order."""

    def run(self, rows: Sequence[Row]) -> "LaidOut":
        """The model's output for all rows, through the layout that was chosen at load."""
        assert self.layout is not None, "no layout chosen yet"
        return self.layout.run(rows)

    @abstractmethod
    def layouts(self) -> "Sequence[Layout]":
        """The layouts worth trying, best first; the last one must be right for every model."""

    def open_line(self, name: str, observer: "Observer") -> Opened:
        from deployments.batcher import Batcher
        from deployments.forward_time import ForwardTime
        from deployments.layout_check import choose_layout
        from deployments.out_of_memory import is_out_of_memory

        batching = self.checkpoint.config.batching
        chosen = choose_layout(self, batching.layout)
        layout = self.layout
        assert layout is not None
        selection = layout.selection(batching, self.checkpoint.device)
        batcher = Batcher(
            self.forward,
            selection,
            padding=layout.padding,
            is_out_of_memory=is_out_of_memory,
            observer=observer,
            forward_time=ForwardTime(),
            name=name,
        )
        description = {
            "layout": chosen.layout,
            "layout_difference": chosen.difference,
            "layouts_refused": chosen.refused,
            "recorded": chosen.recording.taken,
            "recording_refused": chosen.recording.refused,
            "max_cost": selection.max_cost,
            "max_rows": selection.max_rows,
        }
        return Opened(batcher, description)
