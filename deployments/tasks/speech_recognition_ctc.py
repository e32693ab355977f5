"""speech-recognition-ctc: speech to text by greedy CTC decoding, frame by frame (`AutoModelForCTC`)."""

from collections.abc import Hashable, Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from deployments.audio.chunks import Chunk, Chunking
from deployments.audio.task import EXAMPLE, AudioTask
from deployments.audio.whisper.transformers_internals import has_word_offsets, word_offsets
from deployments.checkpoints.load import Checkpoint, load_tokenizer
from deployments.contract.task import Body, Prepared, RequestBody, Row
from deployments.errors import InvalidInput, LoadError
from deployments.media.content import Media


class Parameters(Body):
    return_timestamps: Literal["char", "word"] | None = Field(
        default=None, description="Return start and end of each character or word, in seconds."
    )


class Request(RequestBody):
    inputs: Media | list[Media] = Field(description="A recording (base64 or data URL), or a list of recordings.")
    parameters: Parameters = Parameters()


class TimedText(BaseModel):
    """A character or word and its [start, end] in seconds."""

    text: str
    timestamp: tuple[float, float]


class Transcript(BaseModel):
    text: str
    chunks: list[TimedText] | None = None


class CTCSpeechRecognition(AudioTask[Request, Transcript]):
    """The text of a recording of any length. Long recordings are split into overlapping chunks, one row each."""

    name = "speech-recognition-ctc"
    purpose = "Transcribe speech of any length with a non-autoregressive model; timestamps of words or characters."
    aliases = ("automatic-speech-recognition",)
    auto_model = "AutoModelForCTC"
    architectures = ("ForCTC",)
    request = Request
    response = Transcript | list[Transcript]
    example = {"inputs": EXAMPLE}

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint)
        samples_per_frame = self.samples_per_frame()
        if samples_per_frame is None:
            raise LoadError(f"{checkpoint.config.model}: the model has no method that computes its number of frames")
        self._samples_per_frame = samples_per_frame
        self.chunking = Chunking.of(checkpoint.config.audio, self.sampling_rate, samples_per_frame, self.min_samples)
        self.tokenizer = load_tokenizer(checkpoint.config)
        self.has_timestamps = has_word_offsets(self.tokenizer)

    def preprocess(self, request: Request) -> Prepared:
        assert isinstance(request.inputs, Media)
        if request.parameters.return_timestamps is not None and not self.has_timestamps:
            raise InvalidInput("parameters.return_timestamps: this model's tokenizer gives no timestamps; omit it")
        samples = self.read(request.inputs)
        chunks = list(self.chunking.cut(len(samples)))
        return Prepared([self.row(samples[chunk.start : chunk.stop]) for chunk in chunks], context=chunks)

    def forward(self, rows: Sequence[Row], params: Hashable) -> Sequence[Any]:
        """Per row: logits `[frames, vocabulary]`, without padding."""
        return self.own_frames(self.run(rows).array("logits"), rows)

    def postprocess(self, request: Request, prepared: Prepared, outputs: Sequence[Any]) -> Any:
        import numpy as np

        chunks: list[Chunk] = prepared.context
        core_frames = [
            logits[chunk.core_frames(self._samples_per_frame)] for logits, chunk in zip(outputs, chunks, strict=True)
        ]
        tokens = np.concatenate([logits.argmax(-1) for logits in core_frames])
        answer = {"text": self.tokenizer.decode(tokens)}
        if request.parameters.return_timestamps is not None:
            answer["chunks"] = self._chunks(tokens, request.parameters.return_timestamps)
        return answer

    def sized_example(self, words: int) -> Request:
        return Request(inputs=self.sample(words))

    def _chunks(self, tokens: Any, unit: Literal["char", "word"]) -> list[dict[str, Any]]:
        """Characters or words with timestamps, in the format of transformers' pipeline."""
        offsets = self.tokenizer.decode(tokens, output_char_offsets=True)["char_offsets"]
        if unit == "word":
            offsets = word_offsets(self.tokenizer, offsets)

        def seconds(frame: int) -> float:
            return frame * self._samples_per_frame / self.sampling_rate

        return [
            {"text": offset[unit], "timestamp": (seconds(offset["start_offset"]), seconds(offset["end_offset"]))}
            for offset in offsets
        ]
