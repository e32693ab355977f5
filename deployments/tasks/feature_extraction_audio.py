"""feature-extraction for audio: hidden states of an encoder, or one vector (`AutoModel`)."""

from collections.abc import Hashable, Sequence
from typing import Any

from pydantic import Field

from deployments.audio.task import EXAMPLE, AudioTask
from deployments.checkpoints.load import Checkpoint
from deployments.contract.pooling import VectorOptions, configured_pooling, join_vectors, pool
from deployments.contract.task import Prepared, Row
from deployments.media.content import Media
from deployments.numerics import as_float32, is_finite


class Request(VectorOptions):
    inputs: Media | list[Media] = Field(description="A recording (base64 or data URL), or a list of recordings.")


class AudioFeatureExtraction(AudioTask[Request, Any]):
    """Hidden states per recording, `[frames][dim]`.

    With configured pooling `[inputs][dim]`, one vector per recording, also for a single recording.
    """

    name = "feature-extraction"
    auto_model = "AutoModel"
    operation = "embeddings"
    architectures = ("Model",)
    request = Request
    response = list[list[float]] | list[list[list[float]]] | list[str] | str
    example = {"inputs": EXAMPLE}
    outputs = ("last_hidden_state",)
    unused_weights = ("pooler", "masked_spec_embed")

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint)
        self.pooling = configured_pooling(checkpoint.config)

    def called_model(self, model: Any) -> Any:
        """The encoder of an encoder-decoder model such as Whisper, else the model."""
        return model.get_encoder() if model.config.is_encoder_decoder else model

    def preprocess(self, request: Request) -> Prepared:
        assert isinstance(request.inputs, Media)
        request.check(None, self.pooling)
        return self.prepare(request.inputs)

    def forward(self, rows: Sequence[Row], params: Hashable) -> Sequence[Any]:
        hidden = self.run(rows).output.last_hidden_state
        if self.pooling is None:
            return self.own_frames(as_float32(hidden), rows)
        lengths = [self.frames(row.length) or hidden.shape[1] for row in rows]
        return list(as_float32(pool(hidden, lengths, self.pooling.modes)))

    def is_usable(self, output: Any) -> bool:
        return is_finite(output)

    def postprocess(self, request: Request, prepared: Prepared, outputs: Sequence[Any]) -> Any:
        return request.finish(outputs[0], self.pooling)

    def join(self, request: Request, answers: list[Any]) -> Any:
        return join_vectors(answers, is_list=isinstance(request.inputs, list), pooled=self.pooling is not None)

    def sized_example(self, words: int) -> Request:
        return Request(inputs=self.sample(words))
