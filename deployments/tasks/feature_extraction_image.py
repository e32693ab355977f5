"""feature-extraction for images: hidden states of an encoder, or one vector (`AutoModel`)."""

from collections.abc import Hashable, Sequence
from typing import Any

from pydantic import Field

from deployments.checkpoints.load import Checkpoint
from deployments.contract.pooling import VectorOptions, configured_pooling, join_vectors, pool
from deployments.contract.task import Prepared, Row
from deployments.image.task import EXAMPLE, ImageTask, sample_image
from deployments.media.content import Media
from deployments.numerics import as_float32, is_finite


class Request(VectorOptions):
    inputs: Media | list[Media] = Field(description="An image (base64 or data URL), or a list of images.")


class ImageFeatureExtraction(ImageTask[Request, Any]):
    """Hidden states per image: `[patches][dim]`, or `[dim][rows][columns]` for a convolutional model.

    With configured pooling `[inputs][dim]`, one vector per image, also for a single image.
    """

    name = "feature-extraction"
    auto_model = "AutoModel"
    operation = "embeddings"
    architectures = ("Model",)
    request = Request
    response = list[list[float]] | list[list[list[float]]] | list[list[list[list[float]]]] | list[str] | str
    example = {"inputs": EXAMPLE}
    outputs = ("last_hidden_state",)
    unused_weights = ("pooler",)

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint)
        self.pooling = configured_pooling(checkpoint.config)

    def preprocess(self, request: Request) -> Prepared:
        assert isinstance(request.inputs, Media)
        request.check(None, self.pooling)
        return self.prepare(request.inputs)

    def forward(self, rows: Sequence[Row], params: Hashable) -> Sequence[Any]:
        hidden = self.run(rows).output.last_hidden_state
        if self.pooling is not None:
            patches = hidden.reshape(*hidden.shape[:2], -1).swapaxes(1, 2) if hidden.ndim == 4 else hidden
            hidden = pool(patches, [patches.shape[1]] * len(rows), self.pooling.modes)
        return list(as_float32(hidden))

    def is_usable(self, output: Any) -> bool:
        return is_finite(output)

    def postprocess(self, request: Request, prepared: Prepared, outputs: Sequence[Any]) -> Any:
        return request.finish(outputs[0], self.pooling)

    def join(self, request: Request, answers: list[Any]) -> Any:
        return join_vectors(answers, is_list=isinstance(request.inputs, list), pooled=self.pooling is not None)

    def sized_example(self, words: int) -> Request:
        return Request(inputs=sample_image(16 + words))
