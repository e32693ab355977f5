"""zero-shot-classification: which of the caller's labels fits a text, by a model of natural language inference.

Every label becomes a hypothesis ("This example is politics."), and the model says how well the text entails it. Scores
are those of transformers' ZeroShotClassificationPipeline.
"""

import math
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, field_validator
from starlette.requests import Request
from starlette.responses import Response

from deployments.errors import InvalidInput
from serve.apis.caller import Caller
from serve.apis.huggingface.view_request import ViewRequest
from serve.http.errors import JSONResponse

TASKS = ("text-classification",)
PLACE = "{}"  # of the label in a template
Labels = Annotated[list[str], Field(min_length=1)]


class Parameters(BaseModel):
    model_config = ConfigDict(extra="forbid")

    candidate_labels: Labels = Field(validation_alias=AliasChoices("candidate_labels", "candidateLabels"))
    hypothesis_template: str = f"This example is {PLACE}."
    multi_label: bool = False

    @field_validator("candidate_labels", mode="before")
    @classmethod
    def _separated(cls, labels: Any) -> Any:
        """One text of labels with commas, as older clients send them."""
        return [label.strip() for label in labels.split(",") if label.strip()] if isinstance(labels, str) else labels

    @field_validator("hypothesis_template")
    @classmethod
    def _has_a_place(cls, template: str) -> str:
        if PLACE not in template:
            raise ValueError(f"needs {PLACE} where the label goes")
        return template


class ZeroShotRequest(ViewRequest):
    inputs: str | Annotated[list[str], Field(min_length=1)]
    parameters: Parameters

    @property
    def texts(self) -> list[str]:
        return [self.inputs] if isinstance(self.inputs, str) else self.inputs

    def pairs(self) -> list[dict[str, str]]:
        """Every text with every hypothesis."""
        template, labels = self.parameters.hypothesis_template, self.parameters.candidate_labels
        hypotheses = [template.replace(PLACE, label) for label in labels]
        return [{"text": text, "text_pair": hypothesis} for text in self.texts for hypothesis in hypotheses]


class ZeroShot:
    """`[{label, score}]`, best first; such a list for each text of a list."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def __call__(self, request: Request) -> Response:
        asked: ZeroShotRequest = await self._caller.read(request, ZeroShotRequest)
        route = self._caller.route(None, TASKS, "natural language inference")
        # All hypotheses in one client batch.
        body = {"inputs": asked.pairs(), "parameters": {"function_to_apply": "none"}}
        reply = await self._caller.ask(request, route, body | asked.others())
        logits = [_entailment(classes) for classes in reply.json()]
        count = len(asked.parameters.candidate_labels)
        answers = [_ranked(asked.parameters, logits[start : start + count]) for start in range(0, len(logits), count)]
        return JSONResponse(answers[0] if isinstance(asked.inputs, str) else answers)


def _entailment(classes: list[dict[str, Any]]) -> tuple[float, float]:
    """The logits of entailment and of its contradiction.

    Raises:
        InvalidInput: the model's labels are not those of inference.
    """
    logits = {str(entry["label"]).lower(): float(entry["score"]) for entry in classes}
    entailed = next((label for label in logits if label.startswith("entail")), None)
    others = [label for label in logits if label != entailed]
    refuted = next((label for label in others if label.startswith("contra")), others[0] if len(others) == 1 else None)
    if entailed is None or refuted is None:
        raise InvalidInput(
            f"the model's labels are {', '.join(logits)}; zero-shot-classification needs a model of natural language "
            "inference, with `entailment` and `contradiction`"
        )
    return logits[entailed], logits[refuted]


def _ranked(parameters: Parameters, logits: list[tuple[float, float]]) -> list[dict[str, Any]]:
    """Each label by itself, against its contradiction; or all of them, against each other."""
    if parameters.multi_label or len(logits) == 1:
        scores = [1 / (1 + math.exp(refuted - entailed)) for entailed, refuted in logits]
    else:
        most = max(entailed for entailed, _ in logits)
        weights = [math.exp(entailed - most) for entailed, _ in logits]
        scores = [weight / sum(weights) for weight in weights]
    ranked = sorted(zip(parameters.candidate_labels, scores, strict=True), key=lambda pair: -pair[1])
    return [{"label": label, "score": score} for label, score in ranked]
