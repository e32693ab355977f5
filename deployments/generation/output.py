"""Writer: one row on its way: collects what the model says to it, and tells it piece by piece where that is wanted."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from deployments.errors import ForwardFailed
from deployments.generation.detokenizer import Pieces, StopStrings
from deployments.generation.request import Ask, Piece, Written
from deployments.generation.sampling.log_probabilities import TokenLogprob


class Writer:
    """Hears the tokens of one row, on the model thread.

    Args:
        ask: the row.
        row: its number in the job.
        tokenizer: with `decode`, which must not be about to change.
        is_continuation: the text goes on where the prompt ends (a decoder-only model's).
        on_piece: told of every token; None if nobody listens.
        earlier: what was written before in the same row.

    Attributes:
        written: so far.
        next: what the row goes on with, once this is over.
    """

    def __init__(
        self,
        ask: Ask,
        row: int,
        tokenizer: Any,
        *,
        is_continuation: bool,
        on_piece: Callable[[Piece], None] | None,
        earlier: Sequence[Written] = (),
    ) -> None:
        self._ask, self._row, self._on_piece, self._earlier = ask, row, on_piece, tuple(earlier)
        self._tokenizer = tokenizer
        self._before = ask.prompt.ids if is_continuation else ()
        self.first_token = 0.0  # `time.monotonic()` when it was heard
        self._told = 0  # tokens that a listener has been told of
        self._reset()

    def _reset(self) -> None:
        self._pieces: Pieces | None = None
        if self._ask.stop or self._on_piece:  # else the text is decoded once, at the end
            self._pieces = Pieces(self._tokenizer, self._before)
        self._stop = StopStrings(self._ask.stop)
        self._is_over = False
        self.next: Ask | None = None
        self.written = Written([], text="" if self._ask.stop else None, earlier=self._earlier)

    def restart(self) -> None:
        """Begin, or begin again after a failure: what was heard is forgotten, and a listener is not told twice.

        Raises:
            ForwardFailed: a listener was told of tokens that would not come again.
        """
        self._reset()
        params = self._ask.params
        if self._told and params.do_sample and params.seed is None:
            raise ForwardFailed("the model failed in the middle of this text")

    @property
    def is_over(self) -> bool:
        """Whether what comes now is no longer the row's."""
        return self._is_over

    def hear(self, token: int, logprob: float | None = None, top: Sequence[TokenLogprob] = ()) -> bool:
        """One token more; True if the text has reached a stop string. Tokens behind the last one are not heard."""
        if self._is_over:
            return False
        written, params = self.written, self._ask.params
        self.first_token = self.first_token or time.monotonic()
        written.tokens.append(token)
        if params.logprobs:
            written.logprobs.append(logprob)
        if params.top_n_tokens:
            written.top.append(top)
        is_end = token in params.eos_token_ids
        self._is_over = is_end or len(written.tokens) >= params.max_new_tokens
        written.finish = "eos" if is_end else "length"
        if self._pieces is None:
            self._look_ahead()
            return False
        text = self._grow(token)
        stopped = self._stop.reached is not None
        if stopped:
            self._is_over, written.finish = True, "stop"
        if written.text is not None:
            written.text += text
        self._look_ahead()
        if self._on_piece is not None and len(written.tokens) > self._told:
            self._told += 1
            is_last = self._is_over and self.next is None
            self._on_piece(Piece(self._row, token, text, logprob, top, is_last, self._is_over))
        return stopped

    def _look_ahead(self) -> None:
        if self._is_over and self._ask.then is not None:
            self.next = self._ask.then(self.written)

    def _grow(self, token: int) -> str:
        """What can be said of the text now."""
        assert self._pieces is not None
        text = self._stop.add(self._pieces.add(token))
        if self._is_over and self._stop.reached is None:
            text += self._stop.add(self._pieces.rest())
        if self._is_over and self._stop.reached is None:
            text += self._stop.rest()
        return text
