"""visual-question-answering: a question about an image, answered by an image-to-text model with a prompt."""

import math
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from deployments.errors import InvalidInput
from serve.apis.huggingface.view_request import ViewRequest
from serve.apis.model_client import ModelClient
from serve.http.errors import JSONResponse

TASKS = ("image-to-text",)


class Question(BaseModel):
    model_config = ConfigDict(extra="forbid")

    question: str
    image: str

    def as_input(self) -> dict[str, str]:
        return {"image": self.image, "text": self.question}


class Parameters(BaseModel):
    """The view's parameter; all others are the task's."""

    model_config = ConfigDict(extra="allow")

    # The maximum number of answers, without effect: a generating model has one.
    top_k: Annotated[int, Field(ge=1)] | None = None


class QuestionRequest(ViewRequest):
    """`inputs` has image and question (JavaScript), or the image alone, with the question beside it (Python)."""

    inputs: str | Question | Annotated[list[Question], Field(min_length=1)]
    question: str | None = None
    image: str | None = None  # a copy of `inputs`
    parameters: Parameters = Parameters()

    def as_input(self) -> Any:
        if isinstance(self.inputs, Question):
            return self.inputs.as_input()
        if isinstance(self.inputs, list):
            return [question.as_input() for question in self.inputs]
        if self.question is None:
            raise InvalidInput("question: is missing")
        return Question(question=self.question, image=self.inputs).as_input()


class VisualQuestions:
    """Answers `[{answer, score}]`, or such a list for each question of a list."""

    def __init__(self, client: ModelClient) -> None:
        self._client = client

    async def __call__(self, request: Request) -> Response:
        payload: QuestionRequest = await self._client.read(request, QuestionRequest)
        route = self._client.route(None, TASKS, "visual-question-answering")
        parameters = (payload.parameters.model_extra or {}) | {"details": True}  # for the scores
        body = {"inputs": payload.as_input(), "parameters": parameters} | payload.others()
        reply = await self._client.post(request, route, body)
        answers = reply.json()
        if isinstance(payload.inputs, list):
            return JSONResponse([_scored(texts) if isinstance(texts, list) else texts for texts in answers])
        return JSONResponse(_scored(answers))


def _scored(texts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Texts as answers, best first. The score is the probability of all tokens, if the model returns it."""
    scored = []
    for text in texts:
        answer = {"answer": text["generated_text"].strip()}
        logprobs = [token["logprob"] for token in text["details"]["tokens"]]
        scored.append(answer if None in logprobs else answer | {"score": math.exp(sum(logprobs))})
    return sorted(scored, key=lambda answer: -answer.get("score", 0.0))
