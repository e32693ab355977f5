"""Splits recordings of any length into windows for models with a fixed window, such as Whisper.

Each window is a sequence of its own, so windows of all requests share batches.
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
from deployments.audio.whisper.transformers_internals import collate_words
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
    """The options of one request.

    Attributes:
        parameters: generation parameters.
        decoder_prompt: decoder prompt of each window.
        times: unit of the timestamps, or None.
        with_logprobs: whether log probabilities are returned.
    """

    parameters: GenerationParameters
    decoder_prompt: DecoderPrompt
    times: Times
    with_logprobs: bool


class WindowReader:
    """Turns recordings into windows, and their tokens into text, for one model.

    Args:
        task: decodes recordings and extracts features.
        tokenizer: a tokenizer that merges windows.
        defaults: the checkpoint's `GenerationConfig`.
        positions: feature positions of a window.
        slots: KV slots of the encoder's output.
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
        no_timestamps = getattr(defaults, "no_timestamps_token_id", None)
        self._positions = positions // slots
        self.timestamps = TimestampTokens(None if no_timestamps is None else no_timestamps + 1, self._positions)
        self._step = self.seconds / slots
        alignment_heads = getattr(defaults, "alignment_heads", None)
        self._word_timestamps = (
            WordTimestamps(task.model, alignment_heads, self._positions, self._step) if alignment_heads else None
        )

    def options(
        self, parameters: GenerationParameters, language: str | None, task: str | None, times: Times, *, stream: bool
    ) -> TranscriptOptions:
        """Check the options of a request and collect them.

        Raises:
            InvalidInput: the model does not support one of them.
        """
        if times is not None and self.timestamps.begin is None:
            raise InvalidInput("parameters.return_timestamps: this model gives no timestamps; omit it")
        if times == "word" and self._word_timestamps is None:
            raise InvalidInput(
                "parameters.return_timestamps: 'word' needs alignment_heads in the model's generation_config.json; "
                "use 'segment'"
            )
        if parameters.stop:
            raise InvalidInput("parameters.stop: not supported for recordings; omit it")
        decoder_prompt = self._decoder_prompts.decoder_prompt(language, task, times=times is not None)
        return TranscriptOptions(parameters, decoder_prompt, times, stream)

    def cut(self, samples: "np.ndarray[Any, Any]") -> Iterator[Window]:
        """Split a recording into windows with their features.

        Raises:
            TooLarge: chunking is disabled and the recording is longer than a window.
        """
        rate = self._task.sampling_rate
        if not self._chunking.length and len(samples) > self._task.samples_per_position:
            raise TooLarge(
                f"inputs is a recording of {len(samples) / rate:,.1f} s; this model reads at most "
                f"{self.seconds:g} s, as chunking is disabled (audio.chunk_length_s is 0)"
            )
        for chunk in self._chunking.cut(len(samples)):
            inputs = self._task.tensors(samples[chunk.start : chunk.stop])
            features = inputs[self._task.main_input]
            mask = inputs.get("attention_mask")
            valid_positions = features.shape[-1] if mask is None else int(mask.sum())
            stride = Stride((chunk.stop - chunk.start) / rate, chunk.left / rate, chunk.right / rate)
            yield Window(features, stride, valid_positions)

    def generation_request(self, window: Window, options: TranscriptOptions, start: int = 0) -> GenerationRequest:
        """The generation request for one pass over a window, from position `start` on."""
        decoder_prompt = options.decoder_prompt
        inputs = {self._task.main_input: window.rest(start)}
        defaults = with_max_new_tokens(self._defaults, self._task.model.config, decoder_prompt.length)
        placeholder = Prompt(decoder_prompt.placeholder_ids(), inputs, self._slots)
        (generation_request,) = options.parameters.requests(
            placeholder, defaults, processor=self._processor(options), with_logprobs=options.with_logprobs
        )
        prompted = decoder_prompt.apply(generation_request, Prompt(decoder_prompt.before, inputs, self._slots))
        return replace(prompted, continue_with=partial(self._next_pass, window, options, start))

    def merger(self) -> TranscriptMerger:
        """A merger for a new recording."""
        return TranscriptMerger(self._tokenizer, self._step)

    def join(self, windows: Sequence[Window]) -> list[Segment]:
        """Merge the windows into segments, after the last pass of each."""
        merger = self.merger()
        for window in windows:
            merger.add(window.window_tokens, window.stride)
        return merger.finish()

    def chunks(self, segments: Sequence[Segment], times: Times) -> list[dict[str, Any]]:
        """Segments, or their words, in the format of transformers' pipeline."""
        if times == "segment":
            return [{"text": segment.text, "timestamp": (segment.start, segment.end)} for segment in segments]
        chunks: list[dict[str, Any]] = []
        for segment in segments:
            spans = [(timed.start, timed.end) for timed in segment.tokens]
            chunks += collate_words(self._tokenizer, [timed.token for timed in segment.tokens], spans)
        return chunks

    def _next_pass(
        self, window: Window, options: TranscriptOptions, start: int, completion: Completion
    ) -> GenerationRequest | None:
        """Store the tokens of a finished pass and return the request of the next one. Runs on the model thread."""
        decoder_prompt = options.decoder_prompt.with_language(completion.tokens[0])
        text_tokens = completion.tokens[options.decoder_prompt.generated :]
        tokens = text_tokens[:-1] if completion.finish == "eos" else text_tokens
        count, next_start = complete(tokens, self.timestamps)
        token_times: Sequence[float] = ()
        if options.times == "word" and self._word_timestamps is not None:
            inputs = {self._task.main_input: window.rest(start)}
            token_times = self._word_timestamps(
                inputs, decoder_prompt.before, text_tokens, start, window.positions - start
            )[:count]
        window.add_pass(start, WindowTokens(tokens[:count], token_times))
        after = start + (next_start or 0) * self._positions
        if not next_start or after >= window.features.shape[-1]:
            return None
        return self.generation_request(window, replace(options, decoder_prompt=decoder_prompt), after)

    def _processor(self, options: TranscriptOptions) -> RowProcessor | None:
        """Enforces the rules of timestamp tokens if timestamps are requested."""
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
