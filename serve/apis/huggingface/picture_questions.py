"""visual-question-answering: a question about a picture, answered by an image-to-text model that reads texts, too."""

import math
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from deployments.errors import InvalidInput
from serve.apis.caller import Caller
from serve.apis.huggingface.view_request import ViewRequest
from serve.http.errors import JSONResponse

TASKS = ("image-to-text",)


class Question(BaseModel):
    model_config = ConfigDict(extra="forbid")

    question: str
    image: str

    def as_input(self) -> dict[str, str]:
        return {"image": self.image, "text": self.question}


class Parameters(BaseModel):
    """What the clients say beside the task's own parameters."""

    model_config = ConfigDict(extra="allow")

    # How many answers at most: a model that writes has one.
    top_k: Annotated[int, Field(ge=1)] | None = None


class QuestionRequest(ViewRequest):
    """`inputs` has both (JavaScript), or the picture alone, with the question beside it (Python)."""

    inputs: str | Question | Annotated[list[Question], Field(min_length=1)]
    question: str | None = None
    image: str | None = None  # the same as `inputs`
    parameters: Parameters = Parameters()

    def as_input(self) -> Any:
        if isinstance(self.inputs, Question):
            return self.inputs.as_input()
        if isinstance(self.inputs, list):
            return [question.as_input() for question in self.inputs]
        if self.question is None:
            raise InvalidInput("question: is missing")
        return Question(question=self.question, image=self.inputs).as_input()


class PictureQuestions:
    """`[{answer, score}]`; such a list for each question of a list."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def __call__(self, request: Request) -> Response:
        asked: QuestionRequest = await self._caller.read(request, QuestionRequest)
        route = self._caller.route(None, TASKS, "visual-question-answering")
        parameters = (asked.parameters.model_extra or {}) | {"details": True}  # for the scores
        body = {"inputs": asked.as_input(), "parameters": parameters} | asked.others()
        reply = await self._caller.ask(request, route, body)
        answers = reply.json()
        if isinstance(asked.inputs, list):
            return JSONResponse([_scored(texts) if isinstance(texts, list) else texts for texts in answers])
        return JSONResponse(_scored(answers))


def _scored(texts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Texts as answers, the likeliest first; the score is how likely the model finds all tokens of one, if it says."""
    scored = []
    for text in texts:
        answer = {"answer": text["generated_text"].strip()}
        logprobs = [token["logprob"] for token in text["details"]["tokens"]]
        scored.append(answer if None in logprobs else answer | {"score": math.exp(sum(logprobs))})
    return sorted(scored, key=lambda answer: -answer.get("score", 0.0))
