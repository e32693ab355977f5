"""zero-shot-image-classification and zero-shot-audio-classification: scores of the caller's labels for files.

Every label becomes a sentence ("This is a photo of a cat."). A model with two towers gives the vectors of sentences and
files, and the scores are softmax or sigmoid of their scaled cosines, as in transformers' pipelines. All vectors of a
request are one client batch, so that a sentence is read once for all files.
"""

import base64
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from deployments.contract.labels import apply_function
from deployments.errors import InvalidInput
from serve.apis.huggingface.candidate_labels import CandidateLabels
from serve.apis.huggingface.hypothesis_template import PLACEHOLDER
from serve.apis.huggingface.view_request import ViewRequest
from serve.apis.model_client import ModelClient
from serve.http.errors import JSONResponse

TASKS = ("feature-extraction",)


class Image(BaseModel):
    """As the JavaScript client sends it."""

    model_config = ConfigDict(extra="forbid")

    image: str


class Audio(BaseModel):
    model_config = ConfigDict(extra="forbid")

    audio: str


class ImageLabels(CandidateLabels):
    hypothesis_template: str = f"This is a photo of {PLACEHOLDER}."


class AudioLabels(CandidateLabels):
    hypothesis_template: str = f"This is a sound of {PLACEHOLDER}."


class ZeroShotImageRequest(ViewRequest):
    """`inputs` as base64, data URL or URL."""

    medium: ClassVar[str] = "image"

    inputs: str | Image | Annotated[list[str | Image], Field(min_length=1)]
    parameters: ImageLabels


class ZeroShotAudioRequest(ViewRequest):
    """`inputs` as base64, data URL or URL."""

    medium: ClassVar[str] = "audio"

    inputs: str | Audio | Annotated[list[str | Audio], Field(min_length=1)]
    parameters: AudioLabels


class ZeroShotMedia:
    """Answers `[{label, score}]`, best first, or such a list for each file of a list.

    Args:
        client: asks the model.
        request: of the view.
        view: its name, for error messages.
    """

    def __init__(
        self, client: ModelClient, request: type[ZeroShotImageRequest] | type[ZeroShotAudioRequest], view: str
    ) -> None:
        self._client = client
        self._request = request
        self._view = view

    async def __call__(self, request: Request) -> Response:
        payload: ZeroShotImageRequest | ZeroShotAudioRequest = await self._client.read(request, self._request)
        route = self._client.route(None, TASKS, self._view)
        inputs = payload.inputs if isinstance(payload.inputs, list) else [payload.inputs]
        files = [each if isinstance(each, str) else getattr(each, payload.medium) for each in inputs]
        texts = payload.parameters.hypotheses()
        _require_words(texts)
        # Files first, so that an error names the place that the caller knows.
        items = [{payload.medium: file} for file in files] + [{"text": text} for text in texts]
        body = {"inputs": items, "normalize": True, "encoding_format": "base64"}
        vectors = (await self._client.post(request, route, payload.others() | body)).json()
        similarity = (await self._client.describe(request, route))["similarity"]
        labels = np.stack([_vector(vector) for vector in vectors[len(files) :]])
        answers = [_ranked(payload.parameters, vector, labels, similarity) for vector in vectors[: len(files)]]
        return JSONResponse(answers if isinstance(payload.inputs, list) else answers[0])


def _require_words(texts: list[str]) -> None:
    for place, text in enumerate(texts):
        if not text.strip():
            raise InvalidInput(f"parameters.candidate_labels[{place}]: is empty")


def _vector(encoded: Any) -> Any:
    """A vector `[dim]`.

    Raises:
        InvalidInput: it is the error of a label, which no file can do without.
    """
    if isinstance(encoded, dict):
        raise InvalidInput(f"parameters.candidate_labels: {encoded['error']}")
    return np.frombuffer(base64.b64decode(encoded), "<f4")


def _ranked(parameters: CandidateLabels, encoded: Any, labels: Any, similarity: dict[str, Any]) -> Any:
    """The labels of a file, or its error in a `partial` answer."""
    if isinstance(encoded, dict):
        return encoded
    logits = similarity["scale"] * (labels @ _vector(encoded)) + similarity["bias"]
    return parameters.ranked(apply_function(logits, similarity["function"]).tolist())
