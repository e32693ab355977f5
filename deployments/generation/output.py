"""SequenceOutput: the completion of one row as it grows: text, stop strings, stream."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from deployments.errors import ForwardFailed
from deployments.generation.detokenizer import Detokenizer, StopStrings
from deployments.generation.request import Completion, GenerationRequest, StreamedToken
from deployments.generation.sampling.log_probabilities import TokenLogprob
from deployments.generation.sampling.params import SamplingParams
from deployments.generation.special_tokens import special_tokens


class SequenceOutput:
    """Collects the tokens of one row, on the model thread.

    Args:
        request: the row's.
        row: its number in the job.
        tokenizer: with `decode`; its settings must not change while it is in use.
        is_continuation: the text continues the prompt (a decoder-only model's).
        on_token: called with every token; None where nothing is streamed.
        previous_segments: completions of the row's earlier requests.

    Attributes:
        completion: so far.
        next_request: what the row continues with once this request has ended; None for nothing.
    """

    def __init__(
        self,
        request: GenerationRequest,
        row: int,
        tokenizer: Any,
        *,
        is_continuation: bool,
        on_token: Callable[[StreamedToken], None] | None,
        previous_segments: Sequence[Completion] = (),
    ) -> None:
        self._request, self._row, self._on_token = request, row, on_token
        self._previous_segments = tuple(previous_segments)
        self._tokenizer = tokenizer
        self._prefix_ids = request.prompt.ids if is_continuation else ()
        self._first_token = 0.0  # `time.monotonic()`
        self._streamed = 0  # tokens
        self._reset()

    def _reset(self) -> None:
        self._detokenizer: Detokenizer | None = None
        if self._request.stop or self._on_token:  # else the text is decoded once, at the end
            self._detokenizer = Detokenizer(self._tokenizer, self._prefix_ids)
        self._stop_strings = StopStrings(self._request.stop)
        named = special_tokens(self._tokenizer) if self._request.stop else {}
        self._stop_tokens = {named[string] for string in self._request.stop if string in named}  # no part of the text
        self._is_finished = False
        self.next_request: GenerationRequest | None = None
        text = "" if self._request.stop else None
        self.completion = Completion([], text=text, previous_segments=self._previous_segments)

    def restart(self) -> None:
        """Begin, or begin again after a failure. Tokens that were streamed before are not streamed again.

        Raises:
            ForwardFailed: tokens were streamed that sampling without a seed would not repeat.
        """
        self._reset()
        params = self._request.params
        if self._streamed and params.do_sample and params.seed is None:
            raise ForwardFailed("the model failed in the middle of this text")

    @property
    def is_finished(self) -> bool:
        """Whether further tokens no longer belong to it."""
        return self._is_finished

    def add(self, token: int, logprob: float | None = None, top: Sequence[TokenLogprob] = ()) -> bool:
        """Add a token; True if the text has reached a stop string. Tokens after the last one are ignored."""
        if self._is_finished:
            return False
        completion, params = self.completion, self._request.params
        self._first_token = self._first_token or time.monotonic()
        completion.tokens.append(token)
        if params.logprobs:
            completion.logprobs.append(logprob)
        if params.top_n_tokens:
            completion.top.append(top)
        is_end, is_stop = token in params.eos_token_ids, token in self._stop_tokens
        self._is_finished = is_end or is_stop or len(completion.tokens) >= params.max_new_tokens
        completion.finish = "eos" if is_end else "stop" if is_stop else "length"
        if self._detokenizer is None:
            self._find_continuation()
            return False
        text = self._detokenize(self._detokenizer, token)
        if self._stop_strings.reached is not None:
            self._is_finished, completion.finish = True, "stop"
        if completion.text is not None:
            completion.text += text
        self._find_continuation()
        if self._on_token is not None and len(completion.tokens) > self._streamed:
            self._streamed += 1
            is_last = self._is_finished and self.next_request is None
            self._on_token(StreamedToken(self._row, token, text, logprob, top, is_last, self._is_finished))
        return completion.finish == "stop"

    def complete(self, params: SamplingParams, started: float, finished: float) -> None:
        """Record the seed that was used, and the times."""
        self.completion.seed = params.seed if params.do_sample else None
        if started and self._first_token:
            self.completion.first_token_s = self._first_token - started
            self.completion.total_s = finished - started

    def _find_continuation(self) -> None:
        if self._is_finished and self._request.continue_with is not None:
            self.next_request = self._request.continue_with(self.completion)

    def _detokenize(self, detokenizer: Detokenizer, token: int) -> str:
        """The text that can be streamed with this token."""
        text = self._stop_strings.add(detokenizer.add(token))
        if self._is_finished and self._stop_strings.reached is None:
            text += self._stop_strings.add(detokenizer.flush())
        if self._is_finished and self._stop_strings.reached is None:
            text += self._stop_strings.flush()
        return text
