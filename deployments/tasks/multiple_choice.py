"""multiple-choice: which of several choices fits a prompt best (`AutoModelForMultipleChoice`)."""

from collections.abc import Hashable, Sequence
from typing import Any

from pydantic import BaseModel, Field

from deployments.contract.labels import softmax
from deployments.contract.task import Body, Prepared, RequestBody, Row
from deployments.text.task import TextTask, filler, require_text


class Question(Body):
    """A prompt and its choices."""

    prompt: str
    choices: list[str] = Field(min_length=2, max_length=64)


class Parameters(Body):
    truncate: bool = Field(
        default=True, description="Truncate a prompt and choice that are too long together, the longer one first."
    )


class Request(RequestBody):
    inputs: Question | list[Question] = Field(description="A prompt with its choices, or a list of such objects.")
    parameters: Parameters = Parameters()


class Choice(BaseModel):
    """A choice, its index in the request and its score; the scores of a prompt sum to 1."""

    choice: str
    index: int
    score: float


class MultipleChoice(TextTask[Request, list[Choice]]):
    """All choices of each prompt, best first. Each choice is a row of its own, batched independently."""

    name = "multiple-choice"
    purpose = "Choose the best of several continuations or answers: quizzes, ranking replies, common sense."
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
            field = f"inputs.prompt with choices[{index}]"
            encoded.append(self.encode(question.prompt, choice, truncate=request.parameters.truncate, field=field))
        return Prepared([pair.row for pair in encoded], truncated=any(pair.truncated for pair in encoded))

    def forward(self, rows: Sequence[Row], params: Hashable) -> Sequence[Any]:
        """Per row: one logit, from the model's `[rows, 1]`."""
        return list(self.run(rows).array("logits")[:, 0])

    def labels_of(self, outputs: Sequence[Any]) -> Any:
        """Which choice is best: rows are choices."""
        import numpy as np

        return np.argmax(outputs)

    def postprocess(self, request: Request, prepared: Prepared, outputs: Sequence[Any]) -> Any:
        import numpy as np

        assert isinstance(request.inputs, Question)
        scores = softmax(np.asarray(outputs, dtype=np.float32))
        order = np.argsort(-scores, kind="stable")
        choices = request.inputs.choices
        return [{"choice": choices[index], "index": int(index), "score": scores[index]} for index in order]

    def sized_example(self, words: int) -> Request:
        return Request(inputs=Question(prompt=filler(words), choices=[filler(2), filler(max(3, words // 2))]))
