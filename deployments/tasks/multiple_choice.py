"""multiple-choice: which of several endings goes best with a prompt (`AutoModelForMultipleChoice`)."""

from collections.abc import Hashable, Sequence
from typing import Any

from pydantic import BaseModel, Field

from deployments.contract.labels import softmax
from deployments.contract.task import Body, Prepared, RequestBody, Row
from deployments.text.task import TextTask, filler, require_text


class Question(Body):
    """A prompt and what may go with it."""

    prompt: str
    choices: list[str] = Field(min_length=2, max_length=64)


class Parameters(Body):
    truncate: bool = Field(
        default=True, description="Cut prompt and choice, the longer first, where the model does not read both."
    )


class Request(RequestBody):
    inputs: Question | list[Question] = Field(description="A prompt with its choices, or a list of them.")
    parameters: Parameters = Parameters()


class Choice(BaseModel):
    """One of the choices: its text, its place in the request and its share; the shares of a prompt sum to 1."""

    choice: str
    index: int
    score: float


class MultipleChoice(TextTask[Request, list[Choice]]):
    """All choices of each prompt, best first. Every choice is a row of its own: it never waits for its siblings."""

    name = "multiple-choice"
    purpose = "Choose the best of several continuations or answers: quizzes, ranking of replies, common sense."
    auto_model = "AutoModelForMultipleChoice"
    architectures = ("ForMultipleChoice",)
    request = Request
    response = list[Choice] | list[list[Choice]]
    example = {
        "inputs": {
            "prompt": "In Italy, pizza served in formal settings is presented unsliced.",
            "choices": ["It is eaten with a fork and a knife.", "It is eaten while held in the hand."],
        }
    }
    nested = True

    def preprocess(self, request: Request) -> Prepared:
        question = request.inputs
        assert isinstance(question, Question)
        require_text(question.prompt, "inputs.prompt")
        encoded = []
        for index, choice in enumerate(question.choices):
            require_text(choice, f"inputs.choices[{index}]")
            what = f"inputs.prompt with choices[{index}]"
            encoded.append(self.encode(question.prompt, choice, truncate=request.parameters.truncate, what=what))
        return Prepared([pair.row for pair in encoded], truncated=any(pair.truncated for pair in encoded))

    def forward(self, rows: Sequence[Row], params: Hashable) -> Sequence[Any]:
        """Per row: one logit, from the model's [rows, 1]."""
        return list(self.run(rows).output.logits[:, 0].float().cpu().numpy())

    def postprocess(self, request: Request, prepared: Prepared, outputs: Sequence[Any]) -> Any:
        import numpy as np

        assert isinstance(request.inputs, Question)
        scores = softmax(np.asarray(outputs, dtype=np.float32))
        order = np.argsort(-scores, kind="stable")
        choices = request.inputs.choices
        return [{"choice": choices[index], "index": int(index), "score": scores[index]} for index in order]

    def sized_example(self, words: int) -> Request:
        return Request(inputs=Question(prompt=filler(words), choices=[filler(2), filler(max(3, words // 2))]))
