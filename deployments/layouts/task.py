"""ForwardTask: a task whose batches of rows are processed by a single forward, through a layout."""

from abc import abstractmethod
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from deployments.checkpoints.facts import ModelFacts, facts_of
from deployments.checkpoints.load import Checkpoint
from deployments.config import ModelConfig
from deployments.contract.task import Output, RequestT, ResponseT, Row, Task
from deployments.numerics import are_logits

if TYPE_CHECKING:
    from deployments.layouts.text import BatchOutput, Layout


class ForwardTask(Task[RequestT, ResponseT]):
    """A task without generation: one forward gives the outputs of a batch.

    Class attributes:
        outputs: names of the model's outputs that `forward` reads.
    """

    outputs: ClassVar[tuple[str, ...]] = ("logits",)

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint)
        self.layout: Layout | None = None  # set by the check at load

    @classmethod
    def unbuildable(cls, config: ModelConfig) -> str | None:
        return None

    @abstractmethod
    def forward(self, rows: Sequence[Row], params: Hashable) -> Sequence[Output]:
        """One forward for all `rows`; returns one output per row, in order."""

    def needs_torch(self) -> str:
        """Why the forward cannot run from an exported graph; empty if it can."""
        return ""

    def has_one_shape(self) -> bool:
        """Whether the inputs of all rows have the same shape."""
        return False

    def facts(self) -> ModelFacts:
        """The facts of the model that is called."""
        return facts_of(self.checkpoint.model)

    def is_usable(self, output: Output) -> bool:
        """Whether a row's output can become an answer; by default it is an array of logits.

        A model with an overflow, or with damaged weights, gives NaN or infinity. Costs 2 to 6 microseconds per row.
        """
        return are_logits(output)

    def labels_of(self, outputs: Sequence[Output]) -> Any:
        """What the outputs of an item's rows decide: the index of the best label, at each position that has one; None
        if they are vectors, or there is one label only.

        By default that of each row's logits; they are `[..., labels]`, or for the ends of an answer `[2, tokens]`.
        """
        import numpy as np

        if not all(name.endswith("logits") for name in self.outputs):
            return None
        logits = [np.atleast_1d(np.asarray(output)) for output in outputs]
        return None if logits[0].shape[-1] < 2 else np.concatenate([np.ravel(each.argmax(-1)) for each in logits])

    def unusual_rows(self, row: Row) -> Sequence[Row]:
        """Variants of a row for the check at load, with contents that a model may treat apart; by default none."""
        return ()

    def run(self, rows: Sequence[Row]) -> "BatchOutput":
        """Run the model on all rows, through the layout chosen at load."""
        assert self.layout is not None, "no layout chosen yet"
        return self.layout.run(rows)

    @abstractmethod
    def layouts(self) -> "Sequence[Layout]":
        """The candidate layouts, best first; the last one must be correct for every model."""
