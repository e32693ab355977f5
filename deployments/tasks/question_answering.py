"""question-answering: the span of a text that answers a question (`AutoModelForQuestionAnswering`).

transformers 5 has no pipeline for it. Answers and scores are those of the QuestionAnsweringPipeline of transformers
4.57: the spans of all windows form one list, answers of equal text (ignoring case) are merged and their scores added,
so a score can exceed 1 if overlapping windows agree. There are four differences: `max_question_len` is respected (4.57
does so for slow tokenizers only); a large `top_k` is not filled with invalid spans (end before start, CLS); the null
score is read at CLS wherever it is; and answers come only from the context also if the model pads on the left.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from deployments.contract.task import Body, Prepared, RequestBody, Row
from deployments.errors import InvalidInput
from deployments.text.spans import best_spans, to_characters, tokens_of
from deployments.text.task import TextTask, filler, require_text
from deployments.text.windows import Windows, split_pair

if TYPE_CHECKING:
    from tokenizers import Encoding


EXAMPLE_WINDOWS = 8  # of a text as long as the model reads, in the longest example


class Question(Body):
    question: str
    context: str = Field(description="The text to find the answer in, of any length.")


class Parameters(Body):
    top_k: int = Field(
        default=1, ge=1, le=1000, description="Maximum number of answers; above 1, the response is a list."
    )
    doc_stride: int | None = Field(
        default=None,
        ge=0,
        description="Overlap in tokens of the windows of a long context; default: 128, at most half a window.",
    )
    max_answer_len: int = Field(default=15, ge=1, le=1000, description="Maximum tokens of an answer.")
    max_seq_len: int = Field(default=384, ge=1, description="Tokens of a window, including the question.")
    max_question_len: int = Field(
        default=64, ge=1, description="Maximum tokens of the question; longer questions are truncated."
    )
    handle_impossible_answer: bool = Field(default=False, description='Allow "" (no answer) as an answer.')
    align_to_words: bool = Field(default=True, description="Extend answers to whole words.")


class Request(RequestBody):
    inputs: Question | list[Question] = Field(description="A question with its context, or a list of such objects.")
    parameters: Parameters = Parameters()


class Answer(BaseModel):
    """`answer` is the context from character `start` to `end`. "No answer" is "" with `start` and `end` 0."""

    score: float
    start: int
    end: int
    answer: str


@dataclass(frozen=True, slots=True)
class Passage:
    """Context for `postprocess`: the windows, and which text of the pair is the context (0 or 1)."""

    windows: Windows
    side: int


class QuestionAnswering(TextTask[Request, Any]):
    """The best answer, or a list of the best `top_k`."""

    name = "question-answering"
    purpose = "Find the answer to a question in a text of any length, verbatim, with its position and score."
    auto_model = "AutoModelForQuestionAnswering"
    architectures = ("ForQuestionAnswering", "ForQuestionAnsweringSimple")
    outputs = ("start_logits", "end_logits")
    request = Request
    response = Answer | list[Answer] | list[list[Answer]]
    example = {
        "inputs": {
            "question": "Where was Marie Curie born?",
            "context": "Marie Curie was born in Warsaw in 1867 and moved to Paris to study physics.",
        }
    }

    def preprocess(self, request: Request) -> Prepared:
        item, parameters = request.inputs, request.parameters
        assert isinstance(item, Question)
        require_text(item.question, "question")
        require_text(item.context, "context")
        question, tokens = self._question(item.question, parameters.max_question_len)
        max_length = min(parameters.max_seq_len, self.max_length)
        room = max_length - tokens - self.tokenizer.num_special_tokens_to_add(pair=True)
        stride = self._stride(parameters.doc_stride, room, max_length)
        # Models that pad on the left (XLNet) were trained with the question after the context.
        side = 1 if self.tokenizer.padding_side == "right" else 0
        first, second = (question, item.context) if side == 1 else (item.context, question)
        windows = split_pair(self, first, second, longer=side, room=room, max_length=max_length, stride=stride)
        if side not in windows.encodings[0].sequence_ids:
            raise InvalidInput("context has no tokens for this model's tokenizer")
        return Prepared(windows.rows, context=Passage(windows, side), truncated=question != item.question)

    def forward(self, rows: Sequence[Row], params: Hashable) -> Sequence[Any]:
        import numpy as np

        batch = self.run(rows)
        logits = np.stack([batch.array(name) for name in self.outputs], axis=1)
        return [logits[i, :, :length] for i, length in enumerate(batch.lengths)]

    def postprocess(self, request: Request, prepared: Prepared, outputs: Sequence[Any]) -> Any:
        item, parameters = request.inputs, request.parameters
        assert isinstance(item, Question)
        passage: Passage = prepared.context
        # Several token spans can extend to the same words, so more spans than requested are considered.
        count = parameters.top_k * 2 + 10 if parameters.align_to_words else parameters.top_k
        answers: dict[str, dict[str, Any]] = {}
        no_answer = float("inf")
        for encoding, logits in zip(passage.windows.encodings, outputs, strict=True):
            context = tokens_of(encoding, passage.side)
            spans, null = best_spans(logits, context, self._null(encoding), count, parameters.max_answer_len)
            no_answer = min(no_answer, null)
            for span in spans:
                start, end = to_characters(encoding, span, passage.side, whole_words=parameters.align_to_words)
                text = item.context[start:end]
                answer = answers.setdefault(text.lower(), {"score": 0.0, "start": start, "end": end, "answer": text})
                answer["score"] += span.score
        found = [*answers.values()]
        if parameters.handle_impossible_answer:
            found.append({"score": no_answer, "start": 0, "end": 0, "answer": ""})
        best = sorted(found, key=lambda answer: answer["score"], reverse=True)[: parameters.top_k]
        return best[0] if parameters.top_k == 1 else best

    def sized_example(self, words: int) -> Request:
        context = filler(words)
        tokens = len(self.tokenizer(context)["input_ids"])
        longest = EXAMPLE_WINDOWS * self.max_length  # a word may have many tokens, and a window few new ones
        if tokens > longest:
            context = context[: len(context) * longest // tokens]
        return Request(inputs=Question(question="Who went to the next town?", context=context))

    def _question(self, question: str, max_tokens: int) -> tuple[str, int]:
        """The question, truncated to `max_tokens`, and its number of tokens.

        Raises:
            InvalidInput: the question has no tokens.
        """
        encoding = self.tokenizer(question, add_special_tokens=False, return_offsets_mapping=True)
        tokens = len(encoding["input_ids"])
        if tokens == 0:
            raise InvalidInput("question has no tokens for this model's tokenizer")
        if tokens > max_tokens:
            question = question[: encoding["offset_mapping"][max_tokens - 1][1]]
            tokens = len(self.tokenizer(question, add_special_tokens=False)["input_ids"])
        return question, tokens

    def _stride(self, stride: int | None, room: int, max_length: int) -> int:
        """The overlap of windows with `room` tokens of context each, from the requested `stride`.

        Raises:
            InvalidInput: there is no room, or `stride` is not below it.
        """
        if room < 1:
            raise InvalidInput(f"question leaves no room for the context in the {max_length} tokens of a window")
        if stride is None:
            default = min(128, max_length // 2)
            return default if default < room else room // 2
        if stride >= room:
            raise InvalidInput(f"doc_stride is {stride}; it must be below {room}, the tokens of context in a window")
        return stride

    def _null(self, encoding: "Encoding") -> int | None:
        """The position of "no answer" in a window: its CLS token, if it has one."""
        for index, (token, sequence) in enumerate(zip(encoding.ids, encoding.sequence_ids, strict=True)):
            if sequence is None and token == self.tokenizer.cls_token_id:
                return index
        return None
