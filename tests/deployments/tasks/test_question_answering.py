"""question-answering against the algorithm of transformers 4.57, written out plainly here."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

from deployments.contract.labels import softmax
from deployments.errors import InvalidInput
from deployments.tasks.question_answering import QuestionAnswering, Request
from deployments.text.spans import best_spans
from tests.checkpoints import SENTENCES, load_task, small_checkpoint

LAYOUTS = {"bert": "packed", "roberta": "packed", "modernbert": "packed", "mpnet": "padded"}
FAMILIES = tuple(LAYOUTS)
QUESTIONS = (
    "Who lives in Berlin?",
    "Where?",
    "Qui mange la crème brûlée 🙂?",
    "What is the capital of France, and why?",
)


@pytest.fixture(scope="module")
def task_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[QuestionAnswering, Any, Any]]:
    """Give a function from a family to our task, and a model and tokenizer of their own for the reference."""
    made: dict[str, tuple[QuestionAnswering, Any, Any]] = {}

    def task(family: str) -> tuple[QuestionAnswering, Any, Any]:
        if family not in made:
            folder = small_checkpoint(tmp_path_factory.mktemp(family), family, "QuestionAnswering", seed=3)
            ours = load_task(QuestionAnswering, folder, LAYOUTS[family])
            model = AutoModelForQuestionAnswering.from_pretrained(folder).eval()
            made[family] = ours, model, AutoTokenizer.from_pretrained(folder)
        return made[family]

    return task


def answer(task: QuestionAnswering, question: str, context: str, **parameters: Any) -> Any:
    request = Request.model_validate({"inputs": {"question": question, "context": context}, "parameters": parameters})
    prepared = task.preprocess(request)
    return task.postprocess(request, prepared, task.forward(prepared.rows, prepared.params))


def reference(
    model: Any,
    tokenizer: Any,
    question: str,
    context: str,
    top_k: int = 1,
    doc_stride: int = 64,
    max_answer_len: int = 15,
    max_seq_len: int = 128,
    handle_impossible_answer: bool = False,
    align_to_words: bool = True,
) -> list[dict[str, Any]]:
    """transformers 4.57's QuestionAnsweringPipeline with every matrix in full; windows are cut here, from ids."""
    asked = tokenizer(question, add_special_tokens=False)["input_ids"]
    text = tokenizer(context, add_special_tokens=False, return_offsets_mapping=True)
    ids, offsets, words = text["input_ids"], text["offset_mapping"], text.word_ids()
    borders = [tokenizer.sep_token_id] * (tokenizer.num_special_tokens_to_add(pair=True) - 2)
    size = max_seq_len - len(asked) - len(borders) - 2
    answers: list[dict[str, Any]] = []
    least_null = 1e6
    for first in range(0, len(ids), size - doc_stride):
        here = range(first, min(first + size, len(ids)))
        head = [tokenizer.cls_token_id, *asked, *borders]
        row = [*head, *ids[here.start : here.stop], tokenizer.sep_token_id]
        inputs = {"input_ids": torch.tensor([row])}
        if "token_type_ids" in tokenizer.model_input_names:
            inputs["token_type_ids"] = torch.tensor([[0] * len(head) + [1] * (len(here) + 1)])
        with torch.inference_mode():
            output = model(**inputs)
        masked = np.ones(len(row), bool)
        masked[[0, *range(len(head), len(row) - 1)]] = False
        start, end = (
            np.where(masked, -10000, logits[0].numpy().astype(np.float64))
            for logits in (output.start_logits, output.end_logits)
        )
        start, end = (np.exp(x - x.max()) / np.exp(x - x.max()).sum() for x in (start, end))
        least_null = min(least_null, start[0] * end[0])
        start[0] = end[0] = 0
        square = np.tril(np.triu(np.outer(start, end)), max_answer_len - 1)
        order = np.argsort(-square.ravel(), kind="stable")[: top_k * 2 + 10 if align_to_words else top_k]
        for a, b in zip(*np.unravel_index(order, square.shape), strict=True):
            if square[a, b] == 0:
                continue
            opening, closing = first + a - len(head), first + b - len(head)
            if align_to_words:
                opening = min(i for i in here if words[i] == words[opening])
                closing = max(i for i in here if words[i] == words[closing])
            left, right = offsets[opening][0], offsets[closing][1]
            found = context[left:right]
            for known in answers:
                if known["answer"].lower() == found.lower():
                    known["score"] += square[a, b]
                    break
            else:
                answers.append({"score": square[a, b], "start": left, "end": right, "answer": found})
        if here.stop == len(ids):
            break
    if handle_impossible_answer:
        answers.append({"score": least_null, "start": 0, "end": 0, "answer": ""})
    return sorted(answers, key=lambda known: -known["score"])[:top_k]


def assert_same(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> None:
    def exact(answers: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
        return [(a["start"], a["end"], a["answer"]) for a in answers]

    assert exact(ours) == exact(theirs)
    assert all(set(a) == {"score", "start", "end", "answer"} for a in ours)
    np.testing.assert_allclose([a["score"] for a in ours], [a["score"] for a in theirs], rtol=2e-5, atol=1e-7)


def text_of(seed: int, sentences: int) -> str:
    return " ".join(random.Random(seed).choices(SENTENCES, k=sentences))


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"top_k": 5},
        {"top_k": 20, "align_to_words": False},
        {"align_to_words": False},
        {"max_answer_len": 1, "top_k": 3},
        {"max_answer_len": 200, "top_k": 4},
        {"handle_impossible_answer": True, "top_k": 30},
        {"max_seq_len": 70, "doc_stride": 0, "top_k": 4},
        {"max_seq_len": 80, "doc_stride": 30, "top_k": 4, "handle_impossible_answer": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("family", FAMILIES)
def test_equals_the_reference(task_of: Any, family: str, parameters: dict[str, Any]) -> None:
    task, model, tokenizer = task_of(family)
    # Where the default overlap (half a window) does not fit beside the question, ours is smaller: name it.
    given = {"doc_stride": 25} | parameters
    for seed, sentences in enumerate((1, 1, 2, 4, 9)):
        question, context = QUESTIONS[seed % 4], text_of(seed, sentences)
        ours = answer(task, question, context, **given)
        assert_same(
            ours if given.get("top_k", 1) > 1 else [ours], reference(model, tokenizer, question, context, **given)
        )


@pytest.mark.parametrize("family", FAMILIES)
def test_default_overlap_is_half_a_window(task_of: Any, family: str) -> None:
    task, model, tokenizer = task_of(family)
    context = text_of(11, 9)
    ours = answer(task, "Who?", context, max_seq_len=100)
    assert_same([ours], reference(model, tokenizer, "Who?", context, max_seq_len=100, doc_stride=50))


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_are_stretches_of_the_context_best_first(task_of: Any, family: str) -> None:
    task, _, _ = task_of(family)
    for seed in range(4):
        context = text_of(seed, 5)
        answers = answer(task, QUESTIONS[seed], context, top_k=8)
        assert len(answers) == 8
        assert all(a["answer"] == context[a["start"] : a["end"]] for a in answers)
        assert [a["score"] for a in answers] == sorted((a["score"] for a in answers), reverse=True)
        assert len({a["answer"].lower() for a in answers}) == 8


@pytest.mark.parametrize("family", FAMILIES)
def test_batch_equals_alone(task_of: Any, family: str) -> None:
    task, _, _ = task_of(family)
    questions = [{"question": q, "context": text_of(i, 1 + 3 * i)} for i, q in enumerate(QUESTIONS)]
    request = Request.model_validate({"inputs": questions, "parameters": {"top_k": 3}})
    items = task.split(request)
    prepared = [task.preprocess(item) for item in items]
    outputs = iter(task.forward([row for p in prepared for row in p.rows], None))
    answers = [
        task.postprocess(item, p, [next(outputs) for _ in p.rows]) for item, p in zip(items, prepared, strict=True)
    ]
    for item, together in zip(questions, answers, strict=True):
        assert_same(together, answer(task, item["question"], item["context"], top_k=3))
    assert task.join(request, answers) == answers


def test_one_answer_is_a_dict_and_several_a_list(task_of: Any) -> None:
    task, _, _ = task_of("bert")
    assert answer(task, "Who?", "Clara")["answer"] == "Clara"
    assert [a["answer"] for a in answer(task, "Who?", "Clara", top_k=3)] == ["Clara"]


def test_no_answer_can_win(task_of: Any) -> None:
    task, _, _ = task_of("bert")
    request = Request.model_validate(
        {"inputs": {"question": "Who?", "context": "Clara"}, "parameters": {"handle_impossible_answer": True}}
    )
    prepared = task.preprocess(request)
    logits = np.zeros((2, prepared.rows[0].length), np.float32)
    logits[:, 0] = 5
    nothing = task.postprocess(request, prepared, [logits])
    assert nothing | {"score": 0} == {"score": 0, "start": 0, "end": 0, "answer": ""}
    assert nothing["score"] > 0.9


def test_cuts_a_long_question(task_of: Any) -> None:
    task, _, _ = task_of("bert")
    short, long = (
        Request.model_validate(
            {"inputs": {"question": question, "context": "Clara"}, "parameters": {"max_question_len": 4}}
        )
        for question in ("the man in the", "the man in the mill who sold rope")
    )
    assert task.preprocess(long).rows[0].inputs == task.preprocess(short).rows[0].inputs
    assert task.preprocess(long).truncated
    assert not task.preprocess(short).truncated


def test_reads_the_context_first_where_the_model_pads_on_the_left(task_of: Any) -> None:
    task, _, tokenizer = task_of("bert")
    task.tokenizer.padding_side = "left"
    try:
        request = Request.model_validate({"inputs": {"question": "Who?", "context": text_of(1, 9)}})
        rows = task.preprocess(request).rows
        words = tokenizer.decode(rows[0].inputs["input_ids"])
        found = answer(task, "Who?", text_of(1, 9), top_k=9)
    finally:
        task.tokenizer.padding_side = "right"
    assert len(rows) > 1
    assert words.endswith("[SEP] who? [SEP]")
    assert all(text_of(1, 9)[a["start"] : a["end"]] == a["answer"] and a["start"] < a["end"] for a in found)


@pytest.mark.parametrize(
    ("question", "context", "parameters", "message"),
    [
        ("", "Clara", {}, "question is empty"),
        ("Who?", " \n", {}, "context is empty"),
        ("\x00", "Clara", {}, "question has no tokens"),
        ("Who?", "\x00", {}, "context has no tokens"),
        ("the man " * 20, "Clara", {"max_seq_len": 40}, "no room for the context in the 40 tokens"),
        ("Who?", "Clara", {"max_seq_len": 40, "doc_stride": 35}, "doc_stride is 35; it must be below 35, the tokens"),
    ],
)
def test_refuses(task_of: Any, question: str, context: str, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        answer(task_of("bert")[0], question, context, **parameters)


def test_the_widest_overlap_still_moves_on(task_of: Any) -> None:
    task, model, tokenizer = task_of("bert")
    parameters: dict[str, Any] = {"max_seq_len": 40, "doc_stride": 34}
    ours = answer(task, "Who?", text_of(2, 3), **parameters)
    assert_same([ours], reference(model, tokenizer, "Who?", text_of(2, 3), **parameters))


@pytest.mark.parametrize(
    "wrong", [{"top_k": 0}, {"max_answer_len": 0}, {"doc_stride": -1}, {"topk": 2}, {"top_k": 1.5}]
)
def test_parameters_have_bounds(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Request.model_validate({"inputs": {"question": "Who?", "context": "Clara"}, "parameters": wrong})


def test_examples_are_requests(task_of: Any) -> None:
    task, _, _ = task_of("bert")
    Request.model_validate(task.example)
    lengths = [[row.length for row in task.preprocess(task.sized_example(words)).rows] for words in (3, 500)]
    assert len(lengths[0]) == 1
    assert len(lengths[1]) > 3
    assert max(lengths[1]) == task.max_length


def test_best_spans_by_hand() -> None:
    probabilities = np.array([[0.2, 0.0, 0.5, 0.3], [0.1, 0.0, 0.6, 0.3]], np.float32)
    with np.errstate(divide="ignore"):
        logits = np.log(probabilities) + np.float32(7)
    logits[:, 1] = 50  # neither context nor CLS: must not count
    spans, no_answer = best_spans(logits, range(2, 4), 0, count=9, max_length=2)
    assert [(span.start, span.end) for span in spans] == [(2, 2), (2, 3), (3, 3)]
    np.testing.assert_allclose([span.score for span in spans], [0.3, 0.15, 0.09], rtol=1e-5)
    assert no_answer == pytest.approx(0.02)
    assert [(s.start, s.end) for s in best_spans(logits, range(2, 4), 0, 9, max_length=1)[0]] == [(2, 2), (3, 3)]
    assert best_spans(logits, range(2, 4), None, 1, max_length=2)[1] == 0


@pytest.mark.parametrize("count", [1, 3, 50, 10_000])
def test_best_spans_keep_the_order_of_equals(count: int) -> None:
    """Rounded logits give many ties; ours must pick as a stable sort of all pairs does."""
    generator = np.random.default_rng(count)
    logits = generator.integers(0, 3, (2, 40)).astype(np.float32)
    spans, _ = best_spans(logits, range(5, 40), 0, count, max_length=6)
    start, end = softmax(logits[:, [0, *range(5, 40)]])[:, 1:]
    pairs = [(a, b) for a in range(35) for b in range(a, min(a + 6, 35))]
    pairs.sort(key=lambda pair: -start[pair[0]] * end[pair[1]])
    assert [(span.start - 5, span.end - 5) for span in spans] == pairs[:count]
