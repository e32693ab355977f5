"""speech-recognition-seq2seq: speech to text, generated token by token (`AutoModelForSpeechSeq2Seq`)."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from pydantic import BaseModel, Field

from deployments.audio.features import EXAMPLE, AudioFeatures
from deployments.audio.whisper.decoder_prompt import with_max_new_tokens
from deployments.audio.whisper.merge import Segment as MergedSegment
from deployments.audio.whisper.parameters import TranscriptParameters
from deployments.audio.whisper.reader import Times, TranscriptOptions, WindowReader
from deployments.audio.whisper.segments import Window
from deployments.audio.whisper.streaming import PassStream, TranscriptStream, all_details, details, tokens_of
from deployments.audio.whisper.transcript import TranscriptSegment, fields_of, of_merged
from deployments.audio.whisper.transformers_internals import merges_windows
from deployments.checkpoints.load import Checkpoint, load_tokenizer
from deployments.contract.task import Prepared
from deployments.errors import InvalidInput, LoadError, TooLarge
from deployments.generation.adapters import decoder_start
from deployments.generation.parameters import GeneratingRequest, GenerationParameters
from deployments.generation.request import Completion, StreamedToken
from deployments.generation.sequence import Prompt
from deployments.generation.task import GeneratingTask
from deployments.generation.tgi import Details
from deployments.media.content import Media


class Request(GeneratingRequest):
    inputs: Media | list[Media] = Field(description="A recording (base64 or data URL), or a list of recordings.")
    parameters: TranscriptParameters = TranscriptParameters()


class Chunk(BaseModel):
    """A segment or word and its [start, end] in seconds; null if the model gave no timestamp."""

    text: str
    timestamp: tuple[float | None, float | None]


class Segment(BaseModel):
    """A segment as openai/whisper describes it.

    `start` and `end` are seconds of the recording, `seek` is where its window begins, in hundredths of a second.
    `tokens` include timestamps. The other figures are those of the decoding: null with beam search, and for windows
    that overlap.
    """

    id: int
    seek: int
    start: float
    end: float
    text: str
    tokens: list[int]
    temperature: float | None
    avg_logprob: float | None
    compression_ratio: float | None
    no_speech_prob: float | None


class Transcript(BaseModel):
    text: str
    chunks: list[Chunk] | None = None
    segments: list[Segment] | None = None
    language: str | None = None
    duration: float | None = None
    details: Details | None = None


class RecordingContext(NamedTuple):
    """A recording that was prepared: its windows, how they are read, and its length in seconds."""

    windows: list[Window]
    options: TranscriptOptions
    seconds: float


class SpeechRecognition(AudioFeatures[Request, Transcript], GeneratingTask[Request, Transcript]):
    """The text of a recording; of any length if the model has windows, else up to the model's maximum length."""

    name = "speech-recognition-seq2seq"
    purpose = "Transcribe or translate speech with models such as Whisper, with punctuation and timestamps."
    aliases = ("automatic-speech-recognition",)
    auto_model = "AutoModelForSpeechSeq2Seq"
    architectures = ("ForConditionalGeneration", "SpeechEncoderDecoderModel")
    request = Request
    response = Transcript | list[Transcript]
    example = {"inputs": EXAMPLE, "parameters": {"max_new_tokens": 8}}

    def __init__(self, checkpoint: Checkpoint) -> None:
        if not checkpoint.model.config.is_encoder_decoder:
            raise LoadError(f"{checkpoint.config.model}: this task needs an encoder-decoder model")
        super().__init__(checkpoint)
        self._start = decoder_start(checkpoint.model)
        self._encoder_slots = 0  # of the encoder's output, if recordings have a fixed length
        self._reader: WindowReader | None = None
        if self.is_fixed:
            positions, self._encoder_slots = self._measure_window()
            if merges_windows(self.tokenizer):
                self._reader = WindowReader(self, self.tokenizer, self.defaults, positions, self._encoder_slots)
        if self._reader is None and self._start is None:
            raise LoadError(f"{checkpoint.config.model}: the checkpoint has no decoder_start_token_id")

    def tokenizer_of(self, checkpoint: Checkpoint) -> Any:
        return load_tokenizer(checkpoint.config)

    def feature_module_of(self) -> Any:
        return self.model.get_encoder()

    @property
    def generate(self) -> Callable[..., Any]:
        """The plain `generate`; a model's own may do more, such as Whisper's windows, which are sequences here."""
        from transformers import GenerationMixin

        return partial(GenerationMixin.generate, self.model)

    def preprocess(self, request: Request) -> Prepared:
        assert isinstance(request.inputs, Media)
        parameters = request.parameters
        if parameters.texts > 1 or (parameters.best_of or 1) > 1:
            raise InvalidInput("parameters: a recording has a single text; omit num_return_sequences and best_of")
        if self._reader is None:
            return self._whole(request)
        reader, times = self._reader, self._times(request)
        reader.options(parameters, times, is_long=False, stream=request.stream)  # refused before anything is decoded
        samples = self.read(request.inputs)
        long_form = reader.long_form(parameters)
        is_long = reader.cutter.is_long(samples, long_form)
        options = reader.options(parameters, times, is_long=is_long, stream=request.stream)
        windows = list(reader.cutter.cut(samples, long_form))
        context = RecordingContext(windows, options, len(samples) / self.sampling_rate)
        return Prepared([reader.generation_request(window, options) for window in windows], context)

    def postprocess(self, request: Request, prepared: Prepared, outputs: Sequence[Completion]) -> Any:
        answer: dict[str, Any] = self._text(request, prepared, outputs)
        if request.parameters.details:
            answer["details"] = all_details(self.vocabulary, prepared.rows, outputs)
        return answer

    def texts(self, prepared: Prepared) -> list[list[int]]:
        return [list(range(len(prepared.rows)))]

    def stream_transform(self, prepared: Prepared) -> Callable[[StreamedToken], StreamedToken]:
        if self._reader is None:
            return super().stream_transform(prepared)
        windows, options, _ = prepared.context
        if not options.is_merged:
            return PassStream(self._reader, windows)
        return TranscriptStream(
            self._reader, windows, options.decoder_prompt.generated, prepared.rows[0].params.eos_token_ids
        )

    def final_event(self, request: Request, prepared: Prepared, outputs: Sequence[Completion]) -> dict[str, Any]:
        answer = self._text(request, prepared, outputs)
        text = answer.pop("text")
        return {"generated_text": text, "details": details(self.vocabulary, prepared.rows, outputs)} | answer

    def tokens_of(self, items: Sequence[tuple[Prepared, Sequence[Any]]]) -> tuple[int, int | None]:
        counts = [tokens_of(prepared.rows, outputs) for prepared, outputs in items]
        return sum(prompt for prompt, _ in counts), sum(completion for _, completion in counts)

    def sized_example(self, words: int) -> Request:
        # Read although nobody speaks in it.
        parameters = TranscriptParameters(max_new_tokens=4, do_sample=False, long_form="overlap")
        return Request(inputs=self.sample(words), parameters=parameters)

    def _whole(self, request: Request) -> Prepared:
        """One sequence for a recording that the model reads without windows."""
        parameters = request.parameters
        own = TranscriptParameters.model_fields.keys() - GenerationParameters.model_fields.keys()
        for name in sorted(own - {"long_form"}):  # which is for models with windows
            if getattr(parameters, name):
                raise InvalidInput(f"parameters.{name}: not supported by this model; omit it")
        if isinstance(parameters.temperature, list):
            raise InvalidInput("parameters.temperature: this model takes a single one")
        assert isinstance(request.inputs, Media)
        samples = self.read(request.inputs)
        if self.is_fixed and len(samples) > self.samples_per_position:
            raise TooLarge(
                f"inputs is a recording of {len(samples) / self.sampling_rate:,.1f} s; this model reads at most "
                f"{self.samples_per_position / self.sampling_rate:g} s"
            )
        inputs = self.tensors(samples)
        assert self._start is not None
        positions = len(inputs[self.main_input])
        # A model that cannot tell its number of frames makes at most one per input position.
        slots = self._encoder_slots if self.is_fixed else self.frames(positions) or positions
        prompt = Prompt(self._start, inputs, slots)
        defaults = with_max_new_tokens(self.defaults, self.model.config, len(self._start))
        return Prepared(parameters.requests(prompt, defaults, with_logprobs=request.stream))

    def _text(self, request: Request, prepared: Prepared, outputs: Sequence[Completion]) -> dict[str, Any]:
        """The text and, if requested, the chunks."""
        if self._reader is None:
            return {"text": self.text_of(prepared.rows[0], outputs[0])}
        context: RecordingContext = prepared.context
        windows, options = context.windows, context.options
        segments: Sequence[MergedSegment | TranscriptSegment]
        if options.is_merged:
            segments = merged = self._reader.join(windows)
            timed = of_merged(merged, context.seconds)
        else:
            segments = timed = self._reader.segments(windows)
        answer: dict[str, Any] = {"text": "".join(segment.text for segment in segments)}
        if options.returns == "segment":
            answer["chunks"] = [{"text": each.text, "timestamp": (each.start, each.end)} for each in segments]
        elif options.returns == "word":
            answer["chunks"] = [word for segment in segments for word in self._reader.words(segment)]
        if request.parameters.segments:
            language = self._reader.language(windows[0])
            answer |= {
                "segments": fields_of(timed),
                "language": language,
                "duration": round(context.seconds, 2),
            }
        return answer

    def _times(self, request: Request) -> Times:
        """The unit of the timestamps; the checkpoint's default if the request does not set it."""
        times = request.parameters.return_timestamps
        if times is None:
            times = getattr(self.defaults, "return_timestamps", None)
        if times == "word":
            return "word"
        return "segment" if times else None

    def _measure_window(self) -> tuple[int, int]:
        """Positions of a window: of its features, and of the encoder's output."""
        import numpy as np
        import torch

        features = self.tensors(np.zeros(self.sampling_rate, np.float32))[self.main_input]
        with torch.inference_mode():
            states = self.feature_module(features[None].to(self.checkpoint.device)).last_hidden_state
        return features.shape[-1], states.shape[1]
