"""feature-extraction for sound: hidden states of an encoder, or one vector (`AutoModel`)."""

from collections.abc import Hashable, Sequence
from typing import Any

from pydantic import Field

from deployments.media.content import Media
from deployments.pooling import pool
from deployments.sound import EXAMPLE, SoundTask
from deployments.task import Prepared, Row
from deployments.vectors import VectorOptions


class Request(VectorOptions):
    inputs: Media | list[Media] = Field(description="A recording (base64 or data URL), or a list of them.")


class SoundFeatures(SoundTask[Request, Any]):
    """Hidden states per recording, `[frames][dim]`; with a configured pooling one vector, `[dim]`."""

    name = "feature-extraction"
    auto_model = "AutoModel"
    architectures = ("Model",)
    request = Request
    response = list[list[float]] | list[list[list[float]]] | list[str]
    example = {"inputs": EXAMPLE}
    unused_weights = ("pooler", "masked_spec_embed")

    def reads_with(self, model: Any) -> Any:
        """The encoder alone of a model that also has a decoder, such as Whisper's."""
        return model.get_encoder() if model.config.is_encoder_decoder else model

    def preprocess(self, request: Request) -> Prepared:
        assert isinstance(request.inputs, Media)
        request.check(None, self.checkpoint.config.pooling)
        return self.whole(request.inputs)

    def forward(self, rows: Sequence[Row], params: Hashable) -> Sequence[Any]:
        hidden = self.run(rows).output.last_hidden_state
        pooling = self.checkpoint.config.pooling
        if pooling is None or pooling.mode == "none":
            return self.own_frames(hidden, rows)
        lengths = [self.frames(row.length) or hidden.shape[1] for row in rows]
        return list(pool(hidden, lengths, pooling.mode).float().cpu().numpy())

    def postprocess(self, request: Request, prepared: Prepared, outputs: Sequence[Any]) -> Any:
        return request.finish(outputs[0], self.checkpoint.config.pooling)

    def sized_example(self, words: int) -> Request:
        return Request(inputs=self.sample(words))
