"""What a row is made of, and what comes of it: prompt, job, and how it ended."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from deployments.generation.sampling.log_probabilities import TokenLogprob
from deployments.generation.sampling.params import SamplingParams
from deployments.generation.sampling.row import RowProcessor, RowSpec

if TYPE_CHECKING:
    import torch

Finish = Literal["eos", "length", "stop"]
OnToken = Callable[["Job", int, float | None, Sequence[TokenLogprob]], bool | None]


@dataclass(frozen=True, slots=True)
class Prompt:
    """What one row starts from.

    Attributes:
        ids: what the decoder has said already: the text for a decoder-only model, the start tokens (and forced ones)
            for one with an encoder. At least one.
        inputs: what else the model's forward takes, one row of each and without a batch dimension: the encoder's
            `input_ids`, `pixel_values`, `input_features` (with their `attention_mask`, if the model takes one).
        source_cells: token places that `inputs` take in the cache: the encoder's output length, or an image's places
            before the text. Follows from `input_ids`; for anything else the task must say it.
        joined: names of inputs whose rows lie behind each other, not on top of each other: a batch has all its
            pictures, or their patches, in one dimension.
    """

    ids: Sequence[int]
    inputs: "Mapping[str, torch.Tensor]" = field(default_factory=dict)
    source_cells: int = 0
    joined: frozenset[str] = frozenset()

    @property
    def source(self) -> int:
        """Token places of the inputs."""
        return self.source_cells or (len(self.inputs["input_ids"]) if "input_ids" in self.inputs else 0)

    @property
    def shape(self) -> Hashable:
        """Rows of one shape can be read together: text of any length, anything else of equal size only."""
        if not self.inputs or "input_ids" in self.inputs:
            return None
        # An image in front of the text and padding between the two would be a hole in the row's columns.
        length = len(self.ids) if self.source_cells else None
        return length, tuple((name, tuple(value.shape)) for name, value in sorted(self.inputs.items()))


@dataclass(slots=True, eq=False)
class Job:
    """One row on its way. `on_token` and `done` are called from the model thread and must not block.

    Attributes:
        prompt: what it starts from.
        params: how its tokens are chosen, and what ends it: a token of `eos_token_ids`, which is delivered,
            too ("eos"), or `max_new_tokens` ("length"). A fresh seed is put in when it joins.
        processor: of its scores alone; see `RowSpec`.
        on_token: called with every token, its log-probability and the likeliest others, as the sampler's `Step` has
            them; returning True ends the row with "stop".
        done: called once: `finish` says how it ended, or `error` why not.
        deadline: on `time.monotonic()`'s clock.
    """

    prompt: Prompt
    params: SamplingParams
    processor: RowProcessor | None = None
    on_token: "OnToken" = lambda job, token, logprob, top: None
    done: "Callable[[Job], None]" = lambda job: None
    deadline: float = float("inf")
    tokens: list[int] = field(default_factory=list)
    finish: Finish | None = None
    error: BaseException | None = None
    submitted: float = 0.0
    started: float = 0.0  # when its prompt entered the model
    first_token: float = 0.0
    finished: float = 0.0

    @property
    def settled(self) -> bool:
        return self.finish is not None or self.error is not None

    @property
    def max_new_tokens(self) -> int:
        return self.params.max_new_tokens

    @property
    def row(self) -> RowSpec:
        """What the sampler admits."""
        return RowSpec(self.params, self.prompt.ids, self.processor)

    @property
    def need(self) -> int:
        """Columns of self-attention that it may come to use. The last token is never read, but counted, to be safe."""
        return len(self.prompt.ids) + self.max_new_tokens
