"""GenerationRequest, a row of a generating task; StreamedToken and Completion, what comes back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from deployments.generation.prompt_logprobs import PromptLogprob
from deployments.generation.sampling.log_probabilities import TokenLogprob
from deployments.generation.sampling.params import SamplingParams
from deployments.generation.sampling.row import RowProcessor
from deployments.generation.sequence import Finish, Prompt


@dataclass(frozen=True, slots=True, eq=False)
class GenerationRequest:
    """One row: a prompt, and how to continue it.

    Attributes:
        prompt: what the model starts from.
        params: how its tokens are sampled, and when it ends.
        stop: the text ends before the first of these strings.
        processor: logits processor of this row alone; see `RowSpec`.
        num_beams: above 1 for beam search, which runs in static batches.
        length_penalty: of beam search; above 0 prefers longer texts.
        early_stopping: when beam search ends; see transformers' `GenerationConfig`.
        is_open_ended: `max_new_tokens` is what the context leaves, not what the client asked for; the engine reserves
            KV slots as the text grows.
        continue_with: given the completion, returns the row's next request, or None if the row ends; called on the
            model thread.
    """

    prompt: Prompt
    params: SamplingParams
    stop: tuple[str, ...] = ()
    processor: RowProcessor | None = None
    num_beams: int = 1
    length_penalty: float = 1.0
    early_stopping: bool | str = False
    is_open_ended: bool = False
    continue_with: "Callable[[Completion], GenerationRequest | None] | None" = None

    @property
    def prompt_tokens(self) -> int:
        """Tokens that the model reads: the decoder's prompt, and an encoder's text if there is one."""
        return len(self.prompt.ids) + (len(self.prompt.inputs["input_ids"]) if "input_ids" in self.prompt.inputs else 0)

    @property
    def length(self) -> int:
        """KV slots that it may come to use."""
        return len(self.prompt.ids) + self.prompt.source + self.params.max_new_tokens

    def within(self, kv_slots: int) -> "GenerationRequest":
        """The request, at most this long if it is open-ended: the cache may hold less than the model's context."""
        if not self.is_open_ended or self.length <= kv_slots:
            return self
        fitting = max(1, self.params.max_new_tokens - (self.length - kv_slots))
        return replace(self, params=replace(self.params, max_new_tokens=fitting))


class StreamedToken(NamedTuple):
    """One generated token of a stream.

    Attributes:
        row: of the job, from 0.
        token: its id.
        text: what the text grows by: empty while a character is incomplete or a stop string may be coming, and more
            than this token's own text after that.
        logprob: None if not requested, or not known.
        top: the likeliest tokens at its position.
        is_last: the row ends with it.
        is_end: its request ends with it; the row may continue with another request.
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
    """What the model generated for one `GenerationRequest`.

    Attributes:
        tokens: without the prompt, with the token that ended it ("eos").
        finish: why it ended; "stop" for a stop string.
        logprobs: of each token, if requested.
        top: the likeliest tokens at each position, if requested.
        prompt_logprobs: of each token of the prompt, with the likeliest at its position, if requested.
        text: of a row with stop strings, cut before the one that was reached; None for rows without.
        seed: that its tokens were sampled with; None without sampling.
        first_token_s: seconds from the row's start in the model to its first token.
        total_s: seconds from its start to its last token.
        previous_segments: completions of the row's earlier requests.
    """

    tokens: list[int]
    finish: Finish = "length"
    logprobs: list[float | None] = field(default_factory=list)
    top: list[Sequence[TokenLogprob]] = field(default_factory=list)
    prompt_logprobs: Sequence[PromptLogprob] = ()
    text: str | None = None
    seed: int | None = None
    first_token_s: float = 0.0
    total_s: float = 0.0
    previous_segments: "tuple[Completion, ...]" = ()

    @property
    def logprob(self) -> float:
        """Sum of the log-probabilities of its tokens; minus infinity if not known."""
        known = [value for value in self.logprobs if value is not None]
        return sum(known) if known else float("-inf")
