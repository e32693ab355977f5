"""question-answering: the stretch of a text that answers a question (`AutoModelForQuestionAnswering`).

transformers 5 has no pipeline for it. Answers and scores are those of the QuestionAnsweringPipeline of transformers
4.57: spans of all windows in one list, answers of equal text (but for case) made one and their scores added, so that
a score can pass 1 where overlapping windows agree. Four things differ: `max_question_len` holds (4.57 reads it for
slow tokenizers only); a long `top_k` is not filled up with spans that are none (end before start, CLS); the null score
is read at CLS wherever a model has it; and answers come from the context alone also where models pad on the left.
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


class Question(Body):
    question: str
    context: str = Field(description="The text that holds the answer, of any length.")


class Parameters(Body):
    top_k: int = Field(default=1, ge=1, le=1000, description="Most answers; with more than one the answer is a list.")
    doc_stride: int | None = Field(
        default=None,
        ge=0,
        description="Tokens shared by windows of a long context; default: 128, at most half a window.",
    )
    max_answer_len: int = Field(default=15, ge=1, le=1000, description="Most tokens of an answer.")
    max_seq_len: int = Field(default=384, ge=1, description="Tokens of a window, question included.")
    max_question_len: int = Field(default=64, ge=1, description="Most tokens of the question; the rest is cut off.")
    handle_impossible_answer: bool = Field(default=False, description='Allow "" as an answer.')
    align_to_words: bool = Field(default=True, description="Answer in whole words.")


class Request(RequestBody):
    inputs: Question | list[Question] = Field(description="A question with its context, or a list of them.")
    parameters: Parameters = Parameters()


class Answer(BaseModel):
    """`answer` is the context from character `start` to `end`; all empty for "no answer"."""

    score: float
    start: int
    end: int
    answer: str


@dataclass(frozen=True, slots=True)
class Passage:
    """What `postprocess` wants back: the windows and which text of the pair is the context, 0 or 1."""

    windows: Windows
    side: int


class QuestionAnswering(TextTask[Request, Any]):
    """The best answer, or a list of the best `top_k`."""

    name = "question-answering"
    purpose = "Find the answer to a question in a text of any length, word for word, with its place and score."
    auto_model = "AutoModelForQuestionAnswering"
    architectures = ("ForQuestionAnswering", "ForQuestionAnsweringSimple")
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
        # Models that pad on the left (XLNet) were trained with the question behind the context.
        side = 1 if self.tokenizer.padding_side == "right" else 0
        first, second = (question, item.context) if side == 1 else (item.context, question)
        windows = split_pair(self, first, second, longer=side, room=room, max_length=max_length, stride=stride)
        if side not in windows.encodings[0].sequence_ids:
            raise InvalidInput("context holds nothing that the model's tokenizer reads")
        return Prepared(windows.rows, context=Passage(windows, side), truncated=question != item.question)

    def forward(self, rows: Sequence[Row], params: Hashable) -> Sequence[Any]:
        import torch

        laid = self.run(rows)
        logits = torch.stack([laid.output.start_logits, laid.output.end_logits], dim=1).float().cpu().numpy()
        return [logits[i, :, :length] for i, length in enumerate(laid.lengths)]

    def postprocess(self, request: Request, prepared: Prepared, outputs: Sequence[Any]) -> Any:
        item, parameters = request.inputs, request.parameters
        assert isinstance(item, Question)
        passage: Passage = prepared.context
        # Several spans of tokens can mean the same words; some more than asked for are looked at.
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
                known = answers.setdefault(text.lower(), {"score": 0.0, "start": start, "end": end, "answer": text})
                known["score"] += span.score
        found = [*answers.values()]
        if parameters.handle_impossible_answer:
            found.append({"score": no_answer, "start": 0, "end": 0, "answer": ""})
        best = sorted(found, key=lambda answer: answer["score"], reverse=True)[: parameters.top_k]
        return best[0] if parameters.top_k == 1 else best

    def sized_example(self, words: int) -> Request:
        return Request(inputs=Question(question="Who went to the next town?", context=filler(words)))

    def _question(self, question: str, most: int) -> tuple[str, int]:
        """The question, cut to `most` tokens, and how many it has.

        Raises:
            InvalidInput: the tokenizer finds no token in it.
        """
        encoding = self.tokenizer(question, add_special_tokens=False, return_offsets_mapping=True)
        tokens = len(encoding["input_ids"])
        if tokens == 0:
            raise InvalidInput("question holds nothing that the model's tokenizer reads")
        if tokens > most:
            question = question[: encoding["offset_mapping"][most - 1][1]]
            tokens = len(self.tokenizer(question, add_special_tokens=False)["input_ids"])
        return question, tokens

    def _stride(self, wanted: int | None, room: int, max_length: int) -> int:
        """Tokens shared by neighbouring windows that hold `room` tokens of the context.

        Raises:
            InvalidInput: there is no room, or `wanted` leaves nothing new for a window.
        """
        if room < 1:
            raise InvalidInput(f"question leaves no room for the context in the {max_length} tokens of a window")
        if wanted is None:
            usual = min(128, max_length // 2)
            return usual if usual < room else room // 2
        if wanted >= room:
            raise InvalidInput(
                f"doc_stride is {wanted}; it must be below the {room} tokens that the question leaves in a window"
            )
        return wanted

    def _null(self, encoding: "Encoding") -> int | None:
        """Where a window says "no answer": its CLS token, if it has one."""
        for index, (token, sequence) in enumerate(zip(encoding.ids, encoding.sequence_ids, strict=True)):
            if sequence is None and token == self.tokenizer.cls_token_id:
                return index
        return None
