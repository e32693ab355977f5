"""Windows: recordings of any length for a model that reads windows of one length, such as Whisper.

Each window is a row of its own, so windows of all callers are read and written together.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from deployments.audio.chunks import Chunking
from deployments.audio.features import Hearing
from deployments.audio.whisper.decoder_prompt import Opening, Openings, with_room
from deployments.audio.whisper.merge import Heard, Joining, Piece, Stride
from deployments.audio.whisper.segments import Clock, Window, kept
from deployments.audio.whisper.word_timestamps import Moments
from deployments.errors import InvalidInput, TooLarge
from deployments.generation.parameters import GenerationParameters
from deployments.generation.request import Ask, Written
from deployments.generation.sampling.row import RowProcessor
from deployments.generation.sequence import Prompt

if TYPE_CHECKING:
    import numpy as np

Times = Literal["segment", "word"] | None


@dataclass(frozen=True, slots=True)
class Wishes:
    """What one request wants of its text.

    Attributes:
        parameters: how it is written.
        opening: what each window begins with.
        times: of its pieces.
        with_logprobs: somebody wants each token's.
    """

    parameters: GenerationParameters
    opening: Opening
    times: Times
    with_logprobs: bool


class Windows:
    """The windows of one model.

    Args:
        task: what reads the recordings.
        tokenizer: of the text; one that knows how windows are joined.
        defaults: the checkpoint's `GenerationConfig`.
        positions: of the features of a window.
        cells: token places of the encoder's output.
    """

    def __init__(self, task: Hearing[Any, Any], tokenizer: Any, defaults: Any, positions: int, cells: int) -> None:
        self._task, self._tokenizer, self._defaults, self._cells = task, tokenizer, defaults, cells
        self.seconds = task.samples_per_position / task.sampling_rate  # of a window
        audio = task.checkpoint.config.audio
        audio = audio.model_copy(update={"chunk_length_s": min(audio.chunk_length_s, self.seconds)})
        self._chunking = Chunking.of(audio, task.sampling_rate, 1, task.least)
        self._openings = Openings(defaults, task.checkpoint.model.config)
        silent = getattr(defaults, "no_timestamps_token_id", None)
        self._positions = positions // cells
        self.clock = Clock(None if silent is None else silent + 1, self._positions)
        self._step = self.seconds / cells
        heads = getattr(defaults, "alignment_heads", None)
        self._moments = Moments(task.model, heads, self._positions, self._step) if heads else None

    def wishes(
        self, parameters: GenerationParameters, language: str | None, task: str | None, times: Times, *, stream: bool
    ) -> Wishes:
        """What a request wants, if the model can do it.

        Raises:
            InvalidInput: it cannot.
        """
        if times is not None and self.clock.begin is None:
            raise InvalidInput("parameters.return_timestamps: this model tells no times; leave it out")
        if times == "word" and self._moments is None:
            raise InvalidInput(
                "parameters.return_timestamps: this model has no alignment_heads in its generation_config.json, "
                "which words need; ask for segments"
            )
        if parameters.stop:
            raise InvalidInput("parameters.stop: is not there for recordings; leave it out")
        opening = self._openings.opening(language, task, times=times is not None)
        return Wishes(parameters, opening, times, stream)

    def cut(self, samples: "np.ndarray[Any, Any]") -> Iterator[Window]:
        """The windows of a recording, each with its features.

        Raises:
            TooLarge: windows are not to be cut, and this is longer than one.
        """
        rate = self._task.sampling_rate
        if not self._chunking.length and len(samples) > self._task.samples_per_position:
            raise TooLarge(
                f"inputs is a recording of {len(samples) / rate:,.1f} s; this model reads {self.seconds:g} s, and "
                "audio.chunk_length_s is 0: windows are not to be cut"
            )
        for chunk in self._chunking.cut(len(samples)):
            inputs = self._task.tensors(samples[chunk.start : chunk.stop])
            features = inputs[self._task.main_input]
            mask = inputs.get("attention_mask")
            real = features.shape[-1] if mask is None else int(mask.sum())
            stride = Stride((chunk.stop - chunk.start) / rate, chunk.left / rate, chunk.right / rate)
            yield Window(features, stride, real)

    def ask(self, window: Window, wishes: Wishes, start: int = 0) -> Ask:
        """The row that hears a window, from a position on."""
        opening = wishes.opening
        inputs = {self._task.main_input: window.rest(start)}
        defaults = with_room(self._defaults, self._task.model.config, opening.length)
        as_if = Prompt(opening.filled(), inputs, self._cells)
        (ask,) = wishes.parameters.asks(
            as_if, defaults, processor=self._processor(wishes), with_logprobs=wishes.with_logprobs
        )
        opened = opening.open(ask, Prompt(opening.before, inputs, self._cells))
        return replace(opened, then=partial(self._then, window, wishes, start))

    def joining(self) -> Joining:
        """An empty text."""
        return Joining(self._tokenizer, self._step)

    def join(self, windows: Sequence[Window]) -> list[Piece]:
        """The pieces of the text, once all windows are through."""
        joining = self.joining()
        for window in windows:
            joining.add(window.heard, window.stride)
        return joining.finish()

    def chunks(self, pieces: Sequence[Piece], times: Times) -> list[dict[str, Any]]:
        """Pieces, or their words, as transformers' pipeline gives them."""
        if times == "segment":
            return [{"text": piece.text, "timestamp": (piece.start, piece.end)} for piece in pieces]
        from transformers.models.whisper.tokenization_whisper import _collate_word_timestamps as collate

        chunks: list[dict[str, Any]] = []
        for piece in pieces:
            spans = [(word.start, word.end) for word in piece.words]
            chunks += collate(self._tokenizer, [word.token for word in piece.words], spans, None, False)
        return chunks

    def _then(self, window: Window, wishes: Wishes, start: int, written: Written) -> Ask | None:
        """Model thread: a pass is over."""
        opening = wishes.opening.knowing(written.tokens[0])
        spoken = written.tokens[wishes.opening.written :]
        tokens = spoken[:-1] if written.finish == "eos" else spoken
        count, moment = kept(tokens, self.clock)
        moments: Sequence[float] = ()
        if wishes.times == "word" and self._moments is not None:
            inputs = {self._task.main_input: window.rest(start)}
            moments = self._moments(inputs, opening.before, spoken, start, window.positions - start)[:count]
        window.keep(start, Heard(tokens[:count], moments))
        behind = start + (moment or 0) * self._positions
        if not moment or behind >= window.features.shape[-1]:
            return None
        return self.ask(window, replace(wishes, opening=opening), behind)

    def _processor(self, wishes: Wishes) -> RowProcessor | None:
        """Keeps the order of times, where they are wanted."""
        if wishes.times is None:
            return None
        from transformers import WhisperTimeStampLogitsProcessor

        config = copy.copy(self._defaults)
        if isinstance(config.eos_token_id, list):
            config.eos_token_id = config.eos_token_id[0]
        processor: Callable[..., Any] = WhisperTimeStampLogitsProcessor(config, begin_index=wishes.opening.length)
        return processor
