"""WindowReader: turns windows into rows, and their tokens into text."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from deployments.audio.features import AudioFeatures
from deployments.audio.whisper.decoder_prompt import DecoderPrompt, DecoderPrompts, only, with_max_new_tokens
from deployments.audio.whisper.figures import Figures, FiguresRecorder
from deployments.audio.whisper.merge import Segment, TranscriptMerger, WindowTokens
from deployments.audio.whisper.parameters import TranscriptParameters
from deployments.audio.whisper.safeguards import Safeguards
from deployments.audio.whisper.segments import Pass, TimestampTokens, Window, complete
from deployments.audio.whisper.transcript import TranscriptReader, TranscriptSegment
from deployments.audio.whisper.transformers_internals import collate_words
from deployments.audio.whisper.windows import WindowCutter
from deployments.audio.whisper.word_timestamps import WordTimestamps
from deployments.config import LongForm
from deployments.errors import InvalidInput
from deployments.generation.request import Completion, GenerationRequest
from deployments.generation.sampling.row import RowProcessor
from deployments.generation.sequence import Prompt
from deployments.generation.special_tokens import special_tokens

if TYPE_CHECKING:
    from torch import Tensor

Times = Literal["segment", "word"] | None

RESET_TEMPERATURE = 0.5  # as in openai/whisper: a text that was sampled at a higher one is no prompt


@dataclass(frozen=True, slots=True)
class TranscriptOptions:
    """The options of one recording.

    Attributes:
        parameters: of the request.
        decoder_prompt: decoder prompt of each window.
        times: unit of the timestamps that the model writes, or None.
        returns: unit of those that the answer contains, or None.
        with_logprobs: whether log probabilities are returned.
        is_merged: the text is put together as transformers' pipeline does, which merges what overlaps; else it is that
            of each pass, one after the other.
        safeguards: that decide whether a pass is kept; None without any.
        records: whether the figures of each pass are recorded.
    """

    parameters: TranscriptParameters
    decoder_prompt: DecoderPrompt
    times: Times
    returns: Times
    with_logprobs: bool
    is_merged: bool
    safeguards: Safeguards | None
    records: bool


class Decoded(NamedTuple):
    """What one attempt at a pass gave.

    Attributes:
        generated: all tokens, those of the decoder prompt that were generated and the one that ended it included.
        tokens: of the text.
        figures: if they were recorded.
    """

    generated: Sequence[int]
    tokens: Sequence[int]
    figures: Figures | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a pass.

    Attributes:
        start: position in the window at which the pass begins.
        recorder: of its figures, if they are recorded.
        rejected: attempts before it.
    """

    start: int
    recorder: FiguresRecorder | None
    rejected: tuple[Decoded, ...]


class WindowReader:
    """Turns windows into rows, and their tokens into text, for one model.

    Args:
        task: extracts the features.
        tokenizer: a tokenizer that merges windows.
        defaults: the checkpoint's `GenerationConfig`.
        positions: feature positions of a window.
        slots: KV slots of the encoder's output.

    Attributes:
        cutter: splits recordings into windows.
        timestamps: the model's timestamp tokens.
    """

    def __init__(
        self, task: AudioFeatures[Any, Any], tokenizer: Any, defaults: Any, positions: int, slots: int
    ) -> None:
        self._task, self._tokenizer, self._defaults, self._slots = task, tokenizer, defaults, slots
        self.cutter = WindowCutter(task, positions)
        self._decoder_prompts = DecoderPrompts(defaults, task.checkpoint.model.config)
        no_timestamps = getattr(defaults, "no_timestamps_token_id", None)
        self._positions = positions // slots
        self.timestamps = TimestampTokens(None if no_timestamps is None else no_timestamps + 1, self._positions)
        self._step = task.samples_per_position / task.sampling_rate / slots
        self._transcripts = TranscriptReader(tokenizer, self.timestamps, self._step)
        named = special_tokens(tokenizer)
        self._no_speech = named.get("<|nospeech|>", named.get("<|nocaptions|>"))
        self._previous = named.get("<|startofprev|>")
        self._max_positions: int = task.checkpoint.model.config.max_target_positions
        self._max_previous = self._max_positions // 2 - 1
        alignment_heads = getattr(defaults, "alignment_heads", None)
        self._word_timestamps = (
            WordTimestamps(task.model, alignment_heads, self._positions, self._step) if alignment_heads else None
        )

    def long_form(self, parameters: TranscriptParameters) -> LongForm:
        """How a long recording is read: as the request says, or else the configuration."""
        return parameters.long_form or self.cutter.long_form

    def options(
        self, parameters: TranscriptParameters, returns: Times, *, is_long: bool, stream: bool
    ) -> TranscriptOptions:
        """Check the options of a request and collect them.

        Args:
            parameters: of the request.
            returns: unit of the timestamps to return.
            is_long: the recording is longer than a window.
            stream: the text is streamed.

        Raises:
            InvalidInput: the model does not support one of them.
        """
        long_form = self.long_form(parameters)
        overlaps = is_long and long_form == "overlap"
        self._require_possible(parameters, returns, long_form)
        safeguards = parameters.safeguards(is_long=is_long and not overlaps)
        is_merged = overlaps or not (is_long or parameters.segments or safeguards)
        times = returns
        if (is_long and not overlaps or parameters.segments) and self.timestamps.begin is not None:
            times = returns or "segment"
        is_recorded = safeguards is not None or (parameters.segments and not overlaps)
        records = is_recorded and (parameters.num_beams or 1) == 1
        prompt = self._decoder_prompts.decoder_prompt(parameters.language, parameters.task, times=times is not None)
        prompt = replace(prompt, previous=self._previous_tokens(parameters.prompt))
        prompt = prompt.from_start() if records else prompt
        return TranscriptOptions(parameters, prompt, times, returns, stream, is_merged, safeguards, records)

    def generation_request(
        self, window: Window, options: TranscriptOptions, start: int = 0, rejected: tuple[Decoded, ...] = ()
    ) -> GenerationRequest:
        """The generation request for one attempt at a pass over a window.

        Args:
            window: to read.
            options: of the pass.
            start: position in the window at which the pass begins.
            rejected: attempts before this one.
        """
        prompt, parameters, safeguards = options.decoder_prompt, options.parameters, options.safeguards
        if safeguards is not None:
            parameters = parameters.attempt(safeguards.temperatures[len(rejected)], len(rejected))
        inputs = {self._task.main_input: window.rest(start)}
        (generation_request,) = parameters.requests(
            Prompt(prompt.placeholder_ids(), inputs, self._slots),
            self._limited(options),
            processor=_end_at_once(self._eos) if window.is_silent else self._timestamp_rules(options),
            with_logprobs=options.with_logprobs,
        )
        recorder = None
        if options.records:
            recorder = FiguresRecorder(len(prompt.prompt_ids), prompt.generated, self._no_speech)
        prompted = prompt.apply(generation_request, Prompt(prompt.prompt_ids, inputs, self._slots), recorder)
        attempt = Attempt(start, recorder, rejected)
        return replace(prompted, continue_with=partial(self._next_request, window, options, attempt))

    def merger(self) -> TranscriptMerger:
        """A merger for a new recording."""
        return TranscriptMerger(self._tokenizer, self._step)

    def join(self, windows: Sequence[Window]) -> list[Segment]:
        """Merge the windows into segments, after the last pass of each."""
        merger = self.merger()
        for window in windows:
            merger.add(window.window_tokens, window.stride)
        return merger.finish()

    def segments(self, windows: Sequence[Window]) -> list[TranscriptSegment]:
        """The segments of windows that do not overlap, after the last pass of each."""
        return self._transcripts.segments(windows)

    def text(self, windows: Sequence[Window]) -> str:
        """The text of windows that do not overlap, as far as they are read."""
        return "".join(map(self._transcripts.text, windows))

    def language(self, window: Window) -> str | None:
        """The name of the language of a window, such as "english"; None if the model does not tell."""
        return self._decoder_prompts.language_of(window.language)

    def words(self, segment: Segment | TranscriptSegment) -> list[dict[str, Any]]:
        """The words of a segment with their times, in the format of transformers' pipeline."""
        timed = segment.words if isinstance(segment, TranscriptSegment) else segment.tokens
        return collate_words(
            self._tokenizer, [token.token for token in timed], [(token.start, token.end) for token in timed]
        )

    def _next_request(
        self, window: Window, options: TranscriptOptions, attempt: Attempt, completion: Completion
    ) -> GenerationRequest | None:
        """What the row continues with after an attempt: another one, the next pass, or nothing. On the model thread."""
        prompt = options.decoder_prompt
        window.language = completion.tokens[0] if prompt.languages else self._language_in(prompt)
        if window.is_silent:
            return None
        decoded = self._decoded(options, attempt, completion)
        if options.safeguards is not None and decoded.figures is not None:
            rejected = (*attempt.rejected, decoded)
            if options.safeguards.rejects(decoded.figures):
                if len(rejected) < len(options.safeguards.temperatures):
                    return self.generation_request(window, options, attempt.start, rejected)
                decoded = rejected[options.safeguards.best([each.figures for each in rejected if each.figures])]
        after = self._keep(window, options, attempt.start, decoded)
        if not window.has_more(after):
            return None
        return self.generation_request(window, self._options_after(options, window, decoded.figures), after)

    def _decoded(self, options: TranscriptOptions, attempt: Attempt, completion: Completion) -> Decoded:
        tokens = completion.tokens[options.decoder_prompt.generated :]
        tokens = tokens[:-1] if completion.finish == "eos" else tokens
        if attempt.recorder is None:
            return Decoded(completion.tokens, tokens, None)
        plain = [token for token in tokens if not self.timestamps.is_time(token)]
        text: str = self._tokenizer.decode(plain, skip_special_tokens=True).strip()
        temperature = options.parameters.single_temperature
        if options.safeguards is not None:
            temperature = options.safeguards.temperatures[len(attempt.rejected)]
        return Decoded(completion.tokens, tokens, attempt.recorder.figures(completion.tokens, text, temperature))

    def _keep(self, window: Window, options: TranscriptOptions, start: int, decoded: Decoded) -> int:
        """Add a pass to its window. Returns the position in the window at which the next one begins."""
        count, next_start = complete(decoded.tokens, self.timestamps)
        safeguards, figures = options.safeguards, decoded.figures
        if safeguards is not None and figures is not None and safeguards.is_silence(figures):
            count, next_start = 0, None
        times = self._token_times(window, options, start, decoded.generated, count)
        window.add_pass(Pass(start, WindowTokens(decoded.tokens[:count], times), figures))
        return start + (next_start * self._positions if next_start else window.size)

    def _options_after(self, options: TranscriptOptions, window: Window, figures: Figures | None) -> TranscriptOptions:
        """The options of the next pass: the language is known, and the text so far is the prompt if requested."""
        prompt = options.decoder_prompt
        if prompt.languages and window.language is not None:
            prompt = prompt.with_language(window.language)
            prompt = prompt.from_start() if options.records else prompt
        prompt = replace(prompt, previous=self._text_so_far(options, window, figures))
        return replace(options, decoder_prompt=prompt)

    def _text_so_far(self, options: TranscriptOptions, window: Window, figures: Figures | None) -> tuple[int, ...]:
        """The tokens before those of the next pass; none after a text that was sampled at a high temperature."""
        if not options.parameters.condition_on_previous_text or self._previous is None:
            return ()
        if figures is not None and figures.temperature > RESET_TEMPERATURE:
            return ()
        last = window.passes[-1].window_tokens.tokens
        tokens = [*options.decoder_prompt.previous[1:], *last]
        own = options.decoder_prompt.length - len(options.decoder_prompt.previous)
        room = self._max_positions - own - (options.parameters.max_new_tokens or 0) - 1
        count = min(len(tokens), self._max_previous, room)
        return (self._previous, *tokens[-count:]) if count > 0 else ()

    def _previous_tokens(self, text: str | None) -> tuple[int, ...]:
        """The tokens of a prompt, of which the model reads the last."""
        if text is None or not text.strip():
            return ()
        if self._previous is None:
            raise InvalidInput("parameters.prompt: this model reads no prompt; omit it")
        try:
            first, *tokens = self._tokenizer.get_prompt_ids(text).tolist()
        except ValueError as error:  # a special token in it
            raise InvalidInput(f"parameters.prompt: {error}") from error
        return (first, *tokens[-self._max_previous :])

    def _language_in(self, prompt: DecoderPrompt) -> int | None:
        """The token of a language that the request or the checkpoint sets."""
        tokens = (*prompt.before, *prompt.after)
        return next((token for token in tokens if self._decoder_prompts.is_language(token)), None)

    def _limited(self, options: TranscriptOptions) -> Any:
        """The checkpoint's `GenerationConfig` with a maximum of new tokens.

        As in openai/whisper, a pass over a part of a long recording has half of the model's positions.
        """
        config = self._task.checkpoint.model.config
        defaults = with_max_new_tokens(self._defaults, config, options.decoder_prompt.length)
        if options.safeguards is not None and not options.is_merged:
            defaults = copy.copy(defaults)
            defaults.max_new_tokens = min(defaults.max_new_tokens, self._max_positions // 2)
        return defaults

    def _token_times(
        self, window: Window, options: TranscriptOptions, start: int, generated: Sequence[int], count: int
    ) -> Sequence[float]:
        """The second in the window at which each of the first `count` tokens of a pass ends, if words are requested."""
        if options.times != "word" or self._word_timestamps is None or not count:
            return ()
        prompt = options.decoder_prompt
        ids = (*prompt.prompt_ids, *generated[: prompt.generated])
        inputs = {self._task.main_input: window.rest(start)}
        valid = min(window.size, window.positions - start)
        return self._word_timestamps(inputs, ids, generated[prompt.generated :], start, valid)[:count]

    def _require_possible(self, parameters: TranscriptParameters, times: Times, long_form: LongForm) -> None:
        if parameters.stop:
            raise InvalidInput("parameters.stop: not supported for recordings; omit it")
        if parameters.segments and self.timestamps.begin is None:
            raise InvalidInput("parameters.segments: this model gives no timestamps; omit it")
        if parameters.condition_on_previous_text and long_form != "sequential":
            raise InvalidInput(
                f"parameters.condition_on_previous_text: needs parameters.long_form 'sequential', not {long_form!r}"
            )
        if times is not None and self.timestamps.begin is None:
            raise InvalidInput("parameters.return_timestamps: this model gives no timestamps; omit it")
        if times == "word" and self._word_timestamps is None:
            raise InvalidInput(
                "parameters.return_timestamps: 'word' needs alignment_heads in the model's generation_config.json; "
                "use 'segment'"
            )

    @property
    def _eos(self) -> int:
        ends = self._defaults.eos_token_id
        end: int = ends[0] if isinstance(ends, list) else ends
        return end

    def _timestamp_rules(self, options: TranscriptOptions) -> RowProcessor | None:
        """Enforces the rules of timestamp tokens if timestamps are requested."""
        if options.times is None:
            return None
        from transformers import WhisperTimeStampLogitsProcessor

        config = copy.copy(self._defaults)
        config.eos_token_id = self._eos
        processor: Callable[..., Any] = WhisperTimeStampLogitsProcessor(
            config, begin_index=options.decoder_prompt.length
        )
        return processor


def _end_at_once(end: int) -> RowProcessor:
    """A logits processor that leaves nothing but the token that ends a text."""

    def processor(ids: "Tensor", scores: "Tensor") -> "Tensor":
        return only(scores, end)

    return processor
