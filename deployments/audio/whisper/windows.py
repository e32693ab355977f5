"""Windows: recordings of any length for a model that reads windows of one length, such as Whisper.

Each window is a row of its own, so windows of all callers are read and written together.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from deployments.audio.chunks import Chunking
from deployments.audio.features import AudioFeatures
from deployments.audio.whisper.decoder_prompt import DecoderPrompt, DecoderPrompts, with_max_new_tokens
from deployments.audio.whisper.merge import Segment, Stride, TranscriptMerger, WindowTokens
from deployments.audio.whisper.segments import TimestampTokens, Window, complete
from deployments.audio.whisper.word_timestamps import WordTimestamps
from deployments.errors import InvalidInput, TooLarge
from deployments.generation.parameters import GenerationParameters
from deployments.generation.request import Completion, GenerationRequest
from deployments.generation.sampling.row import RowProcessor
from deployments.generation.sequence import Prompt

if TYPE_CHECKING:
    import numpy as np

Times = Literal["segment", "word"] | None


@dataclass(frozen=True, slots=True)
class TranscriptOptions:
    """What one request wants of its text.

    Attributes:
        parameters: how it is written.
        opening: what each window begins with.
        times: of its pieces.
        with_logprobs: somebody wants each token's.
    """

    parameters: GenerationParameters
    decoder_prompt: DecoderPrompt
    times: Times
    with_logprobs: bool


class WindowReader:
    """The windows of one model.

    Args:
        task: what reads the recordings.
        tokenizer: of the text; one that knows how windows are joined.
        defaults: the checkpoint's `GenerationConfig`.
        positions: of the features of a window.
        cells: token places of the encoder's output.
    """

    def __init__(
        self, task: AudioFeatures[Any, Any], tokenizer: Any, defaults: Any, positions: int, slots: int
    ) -> None:
        self._task, self._tokenizer, self._defaults, self._slots = task, tokenizer, defaults, slots
        self.seconds = task.samples_per_position / task.sampling_rate  # of a window
        audio = task.checkpoint.config.audio
        audio = audio.model_copy(update={"chunk_length_s": min(audio.chunk_length_s, self.seconds)})
        self._chunking = Chunking.of(audio, task.sampling_rate, 1, task.min_samples)
        self._decoder_prompts = DecoderPrompts(defaults, task.checkpoint.model.config)
        silent = getattr(defaults, "no_timestamps_token_id", None)
        self._positions = positions // slots
        self.timestamps = TimestampTokens(None if silent is None else silent + 1, self._positions)
        self._step = self.seconds / slots
        heads = getattr(defaults, "alignment_heads", None)
        self._word_timestamps = WordTimestamps(task.model, heads, self._positions, self._step) if heads else None

    def options(
        self, parameters: GenerationParameters, language: str | None, task: str | None, times: Times, *, stream: bool
    ) -> TranscriptOptions:
        """What a request wants, if the model can do it.

        Raises:
            InvalidInput: it cannot.
        """
        if times is not None and self.timestamps.begin is None:
            raise InvalidInput("parameters.return_timestamps: this model tells no times; leave it out")
        if times == "word" and self._word_timestamps is None:
            raise InvalidInput(
                "parameters.return_timestamps: this model has no alignment_heads in its generation_config.json, "
                "which words need; ask for segments"
            )
        if parameters.stop:
            raise InvalidInput("parameters.stop: is not there for recordings; leave it out")
        decoder_prompt = self._decoder_prompts.decoder_prompt(language, task, times=times is not None)
        return TranscriptOptions(parameters, decoder_prompt, times, stream)

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

    def generation_request(self, window: Window, options: TranscriptOptions, start: int = 0) -> GenerationRequest:
        """The row that hears a window, from a position on."""
        decoder_prompt = options.decoder_prompt
        inputs = {self._task.main_input: window.rest(start)}
        defaults = with_max_new_tokens(self._defaults, self._task.model.config, decoder_prompt.length)
        as_if = Prompt(decoder_prompt.filled(), inputs, self._slots)
        (generation_request,) = options.parameters.requests(
            as_if, defaults, processor=self._processor(options), with_logprobs=options.with_logprobs
        )
        opened = decoder_prompt.open(generation_request, Prompt(decoder_prompt.before, inputs, self._slots))
        return replace(opened, continue_with=partial(self._then, window, options, start))

    def merger(self) -> TranscriptMerger:
        """An empty text."""
        return TranscriptMerger(self._tokenizer, self._step)

    def join(self, windows: Sequence[Window]) -> list[Segment]:
        """The pieces of the text, once all windows are through."""
        merger = self.merger()
        for window in windows:
            merger.add(window.tokens_of_window, window.stride)
        return merger.finish()

    def chunks(self, segments: Sequence[Segment], times: Times) -> list[dict[str, Any]]:
        """Pieces, or their words, as transformers' pipeline gives them."""
        if times == "segment":
            return [{"text": segment.text, "timestamp": (segment.start, segment.end)} for segment in segments]
        from transformers.models.whisper.tokenization_whisper import _collate_word_timestamps as collate

        chunks: list[dict[str, Any]] = []
        for segment in segments:
            spans = [(word.start, word.end) for word in segment.words]
            chunks += collate(self._tokenizer, [word.token for word in segment.words], spans, None, False)
        return chunks

    def _then(
        self, window: Window, options: TranscriptOptions, start: int, written: Completion
    ) -> GenerationRequest | None:
        """Model thread: a pass is over."""
        decoder_prompt = options.decoder_prompt.knowing(written.tokens[0])
        spoken = written.tokens[options.decoder_prompt.written :]
        tokens = spoken[:-1] if written.finish == "eos" else spoken
        count, next_start = complete(tokens, self.timestamps)
        token_times: Sequence[float] = ()
        if options.times == "word" and self._word_timestamps is not None:
            inputs = {self._task.main_input: window.rest(start)}
            token_times = self._word_timestamps(inputs, decoder_prompt.before, spoken, start, window.positions - start)[
                :count
            ]
        window.keep(start, WindowTokens(tokens[:count], token_times))
        after = start + (next_start or 0) * self._positions
        if not next_start or after >= window.features.shape[-1]:
            return None
        return self.generation_request(window, replace(options, decoder_prompt=decoder_prompt), after)

    def _processor(self, options: TranscriptOptions) -> RowProcessor | None:
        """Keeps the order of times, where they are wanted."""
        if options.times is None:
            return None
        from transformers import WhisperTimeStampLogitsProcessor

        config = copy.copy(self._defaults)
        if isinstance(config.eos_token_id, list):
            config.eos_token_id = config.eos_token_id[0]
        processor: Callable[..., Any] = WhisperTimeStampLogitsProcessor(
            config, begin_index=options.decoder_prompt.length
        )
        return processor
