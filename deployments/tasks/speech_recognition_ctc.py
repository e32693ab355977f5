"""speech-recognition-ctc: speech to text, greedily, a letter or piece for each frame (`AutoModelForCTC`)."""

from collections.abc import Hashable, Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from deployments.audio.chunks import Chunk, Chunking
from deployments.audio.task import EXAMPLE, AudioTask
from deployments.checkpoint import Checkpoint, load_tokenizer
from deployments.contract.task import Body, Prepared, RequestBody, Row
from deployments.errors import InvalidInput, LoadError
from deployments.media.content import Media


class Parameters(Body):
    return_timestamps: Literal["char", "word"] | None = Field(
        default=None, description="When each letter or word was said, in seconds."
    )


class Request(RequestBody):
    inputs: Media | list[Media] = Field(description="A recording (base64 or data URL), or a list of them.")
    parameters: Parameters = Parameters()


class StreamedToken(BaseModel):
    """A letter or a word and when it was said: [start, end] in seconds."""

    text: str
    timestamp: tuple[float, float]


class Transcript(BaseModel):
    text: str
    chunks: list[StreamedToken] | None = None


class CTCSpeechRecognition(AudioTask[Request, Transcript]):
    """The text of a recording of any length. Long ones are read in overlapping chunks, each a row of its own."""

    name = "speech-recognition-ctc"
    purpose = "Write down speech of any length with a model that reads all of it at once; times of words or letters."
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
            raise LoadError(f"{checkpoint.config.model}: the model does not say how many frames it gives")
        self._samples_per_frame = samples_per_frame
        self.chunking = Chunking.of(checkpoint.config.audio, self.sampling_rate, samples_per_frame, self.min_samples)
        self.tokenizer = load_tokenizer(checkpoint.config)
        self.tells_time = hasattr(self.tokenizer, "_get_word_offsets")

    def preprocess(self, request: Request) -> Prepared:
        assert isinstance(request.inputs, Media)
        if request.parameters.return_timestamps is not None and not self.tells_time:
            raise InvalidInput("parameters.return_timestamps: this model's tokenizer gives no times; leave it out")
        samples = self.read(request.inputs)
        chunks = list(self.chunking.cut(len(samples)))
        return Prepared([self.row(samples[chunk.start : chunk.stop]) for chunk in chunks], context=chunks)

    def forward(self, rows: Sequence[Row], params: Hashable) -> Sequence[Any]:
        """Per row: logits of its own frames, `[frames, vocabulary]`."""
        return self.own_frames(self.run(rows).output.logits, rows)

    def postprocess(self, request: Request, prepared: Prepared, outputs: Sequence[Any]) -> Any:
        import numpy as np

        chunks: list[Chunk] = prepared.context
        kept = [logits[chunk.kept(self._samples_per_frame)] for logits, chunk in zip(outputs, chunks, strict=True)]
        tokens = np.concatenate([logits.argmax(-1) for logits in kept])
        answer = {"text": self.tokenizer.decode(tokens)}
        if request.parameters.return_timestamps is not None:
            answer["chunks"] = self._pieces(tokens, request.parameters.return_timestamps)
        return answer

    def sized_example(self, words: int) -> Request:
        return Request(inputs=self.sample(words))

    def _pieces(self, tokens: Any, unit: Literal["char", "word"]) -> list[dict[str, Any]]:
        """Letters or words with their times, as transformers' pipeline gives them."""
        pieces = self.tokenizer.decode(tokens, output_char_offsets=True)["char_offsets"]
        if unit == "word":
            pieces = self.tokenizer._get_word_offsets(pieces, self.tokenizer.replace_word_delimiter_char)

        def seconds(frame: int) -> float:
            return frame * self._samples_per_frame / self.sampling_rate

        return [
            {"text": piece[unit], "timestamp": (seconds(piece["start_offset"]), seconds(piece["end_offset"]))}
            for piece in pieces
        ]
