"""What a generating task asks of the model, row by row, and what it is told."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from deployments.generation.sampling.log_probabilities import TokenLogprob
from deployments.generation.sampling.params import SamplingParams
from deployments.generation.sampling.row import RowProcessor
from deployments.generation.sequence import Finish, Prompt


@dataclass(frozen=True, slots=True, eq=False)
class GenerationRequest:
    """One row: a prompt, and how it is to be gone on with.

    Attributes:
        prompt: what the model starts from.
        params: how its tokens are chosen, and when it ends.
        stop: strings before the first of which the text ends; none of them is part of it.
        processor: of this row's scores alone; see `RowSpec`.
        num_beams: above 1 for beam search, which runs in static batches.
        length_penalty: of beam search; above 0 prefers longer answers.
        then: what the row goes on with once this is written, if with anything; called on the model thread.
    """

    prompt: Prompt
    params: SamplingParams
    stop: tuple[str, ...] = ()
    processor: RowProcessor | None = None
    num_beams: int = 1
    length_penalty: float = 1.0
    continue_with: "Callable[[Completion], GenerationRequest | None] | None" = None

    @property
    def prompt_tokens(self) -> int:
        """Tokens that the model reads: an encoder's text and the decoder's prompt, or a decoder's prompt alone."""
        return len(self.prompt.ids) + (len(self.prompt.inputs["input_ids"]) if "input_ids" in self.prompt.inputs else 0)

    @property
    def length(self) -> int:
        """Token places that it may come to use."""
        return len(self.prompt.ids) + self.prompt.source + self.params.max_new_tokens


class StreamedToken(NamedTuple):
    """One token as it comes.

    Attributes:
        row: of the job, from 0.
        token: its id.
        text: what the text grows by: nothing while a character is incomplete or a stop string may be coming, more
            than this token's own text once that is over.
        logprob: None where it was not asked for, or is not known.
        top: the likeliest tokens in its place.
        is_last: the row ends with it.
        is_end: what was asked ends with it; the row may go on with something else.
    """

    row: int
    token: int
    text: str
    logprob: float | None
    top: Sequence[TokenLogprob]
    is_last: bool
    is_end: bool


@dataclass(slots=True)
class Completion:
    """What the model wrote to one `GenerationRequest`.

    Attributes:
        tokens: without the prompt; the one that ended it ("eos") is among them.
        finish: why it ended; "stop" for a stop string.
        logprobs: of each token, where asked for.
        top: the likeliest tokens in each one's place, where asked for.
        text: of a row with stop strings, cut before the one that was reached; None for rows without.
        seed: what its tokens were drawn with; None where nothing was drawn.
        first_token_s: seconds from the row's start in the model to its first token.
        total_s: seconds from its start to its last token.
        earlier: what was written before in the same row, to other asks.
    """

    tokens: list[int]
    finish: Finish = "length"
    logprobs: list[float | None] = field(default_factory=list)
    top: list[Sequence[TokenLogprob]] = field(default_factory=list)
    text: str | None = None
    seed: int | None = None
    first_token_s: float = 0.0
    total_s: float = 0.0
    previous_segments: "tuple[Completion, ...]" = ()

    @property
    def logprob(self) -> float:
        """Sum of the log-probabilities of its tokens; minus infinity where they are not known."""
        known = [value for value in self.logprobs if value is not None]
        return sum(known) if known else float("-inf")
