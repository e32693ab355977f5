"""speech-recognition-seq2seq: speech to text, generated token by token (`AutoModelForSpeechSeq2Seq`)."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

from pydantic import BaseModel, Field

from deployments.audio.features import EXAMPLE, AudioFeatures
from deployments.audio.whisper.decoder_prompt import with_max_new_tokens
from deployments.audio.whisper.streaming import TranscriptStream, all_details, details, tokens_of
from deployments.audio.whisper.transformers_internals import merges_windows
from deployments.audio.whisper.windows import Times, WindowReader
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


class Parameters(GenerationParameters):
    language: str | None = Field(
        default=None,
        description="Spoken language, as a name or code (`english`, `en`); default: detected by the model.",
    )
    task: Literal["transcribe", "translate"] | None = Field(
        default=None, description="Transcribe in the spoken language, or translate to English."
    )
    return_timestamps: bool | Literal["segment", "word"] | None = Field(
        default=None, description="Return start and end of each segment or word, in seconds; true means segment."
    )


class Request(GeneratingRequest):
    inputs: Media | list[Media] = Field(description="A recording (base64 or data URL), or a list of recordings.")
    parameters: Parameters = Parameters()


class Chunk(BaseModel):
    """A segment or word and its [start, end] in seconds; null if the model gave no timestamp."""

    text: str
    timestamp: tuple[float | None, float | None]


class Transcript(BaseModel):
    text: str
    chunks: list[Chunk] | None = None
    details: Details | None = None


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
        self._windows: WindowReader | None = None
        if self.is_fixed:
            positions, self._encoder_slots = self._measure_window()
            if merges_windows(self.tokenizer):
                self._windows = WindowReader(self, self.tokenizer, self.defaults, positions, self._encoder_slots)
        if self._windows is None and self._start is None:
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
        if self._windows is None:
            return self._whole(request)
        language, task, times = parameters.language, parameters.task, self._times(request)
        options = self._windows.options(parameters, language, task, times, stream=request.stream)
        windows = list(self._windows.cut(self.read(request.inputs)))
        return Prepared([self._windows.generation_request(window, options) for window in windows], (windows, options))

    def postprocess(self, request: Request, prepared: Prepared, outputs: Sequence[Completion]) -> Any:
        answer: dict[str, Any] = self._text(request, prepared, outputs)
        if request.parameters.details:
            answer["details"] = all_details(self.vocabulary, prepared.rows, outputs)
        return answer

    def texts(self, prepared: Prepared) -> list[list[int]]:
        return [list(range(len(prepared.rows)))]

    def stream_transform(self, prepared: Prepared) -> Callable[[StreamedToken], StreamedToken]:
        if self._windows is None:
            return super().stream_transform(prepared)
        windows, options = prepared.context
        return TranscriptStream(
            self._windows, windows, options.decoder_prompt.generated, prepared.rows[0].params.eos_token_ids
        )

    def final_event(self, request: Request, prepared: Prepared, outputs: Sequence[Completion]) -> dict[str, Any]:
        answer = self._text(request, prepared, outputs)
        text = answer.pop("text")
        return {"generated_text": text, "details": details(self.vocabulary, prepared.rows, outputs)} | answer

    def tokens_of(self, items: Sequence[tuple[Prepared, Sequence[Any]]]) -> tuple[int, int | None]:
        counts = [tokens_of(prepared.rows, outputs) for prepared, outputs in items]
        return sum(prompt for prompt, _ in counts), sum(completion for _, completion in counts)

    def sized_example(self, words: int) -> Request:
        return Request(inputs=self.sample(words), parameters=Parameters(max_new_tokens=4, do_sample=False))

    def _whole(self, request: Request) -> Prepared:
        """One sequence for a recording that the model reads without windows."""
        parameters = request.parameters
        for name in ("language", "task", "return_timestamps"):
            if getattr(parameters, name):
                raise InvalidInput(f"parameters.{name}: not supported by this model; omit it")
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
        if self._windows is None:
            return {"text": self.text_of(prepared.rows[0], outputs[0])}
        windows, options = prepared.context
        segments = self._windows.join(windows)
        answer: dict[str, Any] = {"text": "".join(segment.text for segment in segments)}
        if options.times is not None:
            answer["chunks"] = self._windows.chunks(segments, options.times)
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
