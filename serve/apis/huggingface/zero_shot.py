"""zero-shot-classification: scores of the caller's labels, by a natural language inference model.

Every label becomes a hypothesis ("This example is politics."), and the model scores whether the text entails it. The
scores equal those of transformers' ZeroShotClassificationPipeline.
"""

import math
from typing import Annotated, Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from deployments.errors import InvalidInput
from serve.apis.huggingface.candidate_labels import CandidateLabels
from serve.apis.huggingface.hypothesis_template import PLACEHOLDER
from serve.apis.huggingface.view_request import ViewRequest
from serve.apis.model_client import ModelClient
from serve.http.errors import JSONResponse

TASKS = ("text-classification",)


class Parameters(CandidateLabels):
    hypothesis_template: str = f"This example is {PLACEHOLDER}."
    multi_label: bool = False


class ZeroShotRequest(ViewRequest):
    inputs: str | Annotated[list[str], Field(min_length=1)]
    parameters: Parameters

    @property
    def texts(self) -> list[str]:
        return [self.inputs] if isinstance(self.inputs, str) else self.inputs

    def pairs(self) -> list[dict[str, str]]:
        """Every text paired with every hypothesis."""
        hypotheses = self.parameters.hypotheses()
        return [{"text": text, "text_pair": filled} for text in self.texts for filled in hypotheses]


class ZeroShot:
    """Answers `[{label, score}]`, best first, or such a list for each text of a list."""

    def __init__(self, client: ModelClient) -> None:
        self._client = client

    async def __call__(self, request: Request) -> Response:
        payload: ZeroShotRequest = await self._client.read(request, ZeroShotRequest)
        route = self._client.route(None, TASKS, "natural language inference")
        # All hypotheses in one client batch.
        body = {"inputs": payload.pairs(), "parameters": {"function_to_apply": "none"}}
        reply = await self._client.post(request, route, body | payload.others())
        pairs, count = reply.json(), len(payload.parameters.candidate_labels)
        texts = [pairs[start : start + count] for start in range(0, len(pairs), count)]
        answers = [_error(text) or _ranked(payload.parameters, [_entailment(each) for each in text]) for text in texts]
        return JSONResponse(answers[0] if isinstance(payload.inputs, str) else answers)


def _error(pairs: list[Any]) -> dict[str, Any] | None:
    """The error of a text in a `partial` answer: the first of its pairs."""
    return next((pair for pair in pairs if isinstance(pair, dict)), None)


def _entailment(classes: list[dict[str, Any]]) -> tuple[float, float]:
    """The logits of entailment and contradiction.

    Raises:
        InvalidInput: the model's labels are not those of natural language inference.
    """
    logits = {str(entry["label"]).lower(): float(entry["score"]) for entry in classes}
    entailed = next((label for label in logits if label.startswith("entail")), None)
    others = [label for label in logits if label != entailed]
    refuted = next((label for label in others if label.startswith("contra")), others[0] if len(others) == 1 else None)
    if entailed is None or refuted is None:
        raise InvalidInput(
            f"the model's labels are {', '.join(logits)}; zero-shot-classification needs a natural language "
            "inference model, with `entailment` and `contradiction`"
        )
    return logits[entailed], logits[refuted]


def _ranked(parameters: Parameters, logits: list[tuple[float, float]]) -> list[dict[str, Any]]:
    """Softmax over all labels, or with `multi_label`, of each label against its contradiction."""
    if parameters.multi_label or len(logits) == 1:
        # Beyond exp(709) there is no float.
        scores = [1 / (1 + math.exp(min(refuted - entailed, 709))) for entailed, refuted in logits]
    else:
        maximum = max(entailed for entailed, _ in logits)
        weights = [math.exp(entailed - maximum) for entailed, _ in logits]
        scores = [weight / sum(weights) for weight in weights]
    return parameters.ranked(scores)
