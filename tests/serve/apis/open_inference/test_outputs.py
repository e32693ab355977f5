"""The tasks' answers to tensors."""

from typing import Any

import numpy as np
import orjson
import pytest

from deployments.contract.task import Task
from deployments.errors import InvalidInput
from deployments.registry import KINDS
from serve.apis.open_inference.messages import RequestedOutput
from serve.apis.open_inference.outputs import output_tensors

HIGH, LOW = {"label": "high", "score": 0.75}, {"label": "low", "score": 0.25}
NAME = {"entity_group": "NAME", "score": 0.5, "word": "Anna", "start": 9, "end": 13}
ANSWER = {"score": 0.5, "start": 24, "end": 30, "answer": "Warsaw"}
FILLING = {"sequence": "a b", "score": 0.5, "token": 7, "token_str": "b"}
REFUSAL = {"error": "no", "error_type": "invalid_input", "status": 422}


def kind(name: str, medium: str = "text") -> type[Task[Any, Any]]:
    return next(kind for kind in KINDS if (kind.name, kind.medium) == (name, medium))


def tensors(task: type[Task[Any, Any]], answers: list[Any], *names: str) -> dict[str, tuple[str, Any]]:
    """Datatype and values by name."""
    wanted = [RequestedOutput(name) for name in names] or None
    found = output_tensors(task, answers, wanted)
    if names:
        assert [tensor.name for tensor in found] == list(names)
    return {tensor.name: (tensor.datatype, tensor.values.tolist()) for tensor in found}


@pytest.mark.parametrize(
    ("task", "answers", "expected"),
    [
        (
            kind("text-classification"),
            [[HIGH, LOW], [LOW, HIGH]],
            {
                "label": ("BYTES", [["high", "low"], ["low", "high"]]),
                "score": ("FP32", [[0.75, 0.25], [0.25, 0.75]]),
            },
        ),
        (
            kind("question-answering"),
            [ANSWER],
            {
                "score": ("FP32", [0.5]),
                "start": ("INT64", [24]),
                "end": ("INT64", [30]),
                "answer": ("BYTES", ["Warsaw"]),
            },
        ),
        (
            kind("multiple-choice"),
            [[{"choice": "a", "index": 1, "score": 0.75}, {"choice": "b", "index": 0, "score": 0.25}]],
            {"choice": ("BYTES", [["a", "b"]]), "index": ("INT64", [[1, 0]]), "score": ("FP32", [[0.75, 0.25]])},
        ),
        (kind("feature-extraction"), [[0.5, 1], [2, 3]], {"embedding": ("FP32", [[0.5, 1.0], [2.0, 3.0]])}),
        (kind("feature-extraction"), ["AAAA", "BBBB"], {"embedding": ("BYTES", ["AAAA", "BBBB"])}),
        (
            kind("feature-extraction"),
            [[[1.0, 2.0]], [[3.0, 4.0], [5.0, 6.0]]],
            {"embedding": ("FP32", [[[1.0, 2.0], [0.0, 0.0]], [[3.0, 4.0], [5.0, 6.0]]]), "count": ("INT64", [1, 2])},
        ),
        (
            kind("feature-extraction", "image"),
            [[[[1.0, 2.0]], [[3.0, 4.0]]]],
            {"embedding": ("FP32", [[[[1.0, 2.0]], [[3.0, 4.0]]]])},
        ),
        (
            kind("token-classification"),
            [[NAME], []],
            {
                "entity_group": ("BYTES", [["NAME"], [""]]),
                "score": ("FP32", [[0.5], [0.0]]),
                "word": ("BYTES", [["Anna"], [""]]),
                "start": ("INT64", [[9], [0]]),
                "end": ("INT64", [[13], [0]]),
                "count": ("INT64", [1, 0]),
            },
        ),
        (
            kind("token-classification"),
            [[]],
            {
                "entity_group": ("BYTES", [[]]),
                "score": ("FP32", [[]]),
                "word": ("BYTES", [[]]),
                "start": ("INT64", [[]]),
                "end": ("INT64", [[]]),
            },
        ),
        (
            kind("token-classification"),
            [[{"entity": "NAME", "score": 0.5, "index": 1, "word": "Anna", "start": 0, "end": 4}]],
            {
                "entity": ("BYTES", [["NAME"]]),
                "score": ("FP32", [[0.5]]),
                "index": ("INT64", [[1]]),
                "word": ("BYTES", [["Anna"]]),
                "start": ("INT64", [[0]]),
                "end": ("INT64", [[4]]),
            },
        ),
        (
            kind("fill-mask"),
            [[FILLING, FILLING], [[FILLING, FILLING], [FILLING, FILLING]]],
            {
                "sequence": ("BYTES", [[["a b", "a b"], ["", ""]], [["a b", "a b"], ["a b", "a b"]]]),
                "score": ("FP32", [[[0.5, 0.5], [0.0, 0.0]], [[0.5, 0.5], [0.5, 0.5]]]),
                "token": ("INT64", [[[7, 7], [0, 0]], [[7, 7], [7, 7]]]),
                "token_str": ("BYTES", [[["b", "b"], ["", ""]], [["b", "b"], ["b", "b"]]]),
                "count": ("INT64", [1, 2]),
            },
        ),
        (kind("speech-recognition-ctc", "audio"), [{"text": "one"}], {"text": ("BYTES", ["one"])}),
        (
            kind("text-generation"),
            [[{"generated_text": "a"}, {"generated_text": "b"}]],
            {"generated_text": ("BYTES", [["a", "b"]])},
        ),
    ],
)
def test_answers_are_tensors(task: type[Task[Any, Any]], answers: list[Any], expected: Any) -> None:
    assert tensors(task, answers) == expected


@pytest.mark.parametrize(
    ("task", "answers", "others"),
    [
        (
            kind("speech-recognition-ctc", "audio"),
            [{"text": "one", "chunks": [{"text": "one", "timestamp": [0.0, 0.5]}]}],
            {"text"},
        ),
        (kind("text-generation"), [[{"generated_text": [{"role": "user", "content": "a"}]}]], {"count"}),
        (kind("text-classification"), [[HIGH], REFUSAL], set()),
    ],
)
def test_what_is_no_tensor_is_json(task: type[Task[Any, Any]], answers: list[Any], others: set[str]) -> None:
    found = tensors(task, answers)
    assert set(found) == others | {"json"}
    assert found["json"] == ("BYTES", [orjson.dumps(answer).decode() for answer in answers])


def test_only_what_is_asked_for_is_given_in_its_order() -> None:
    classes = kind("text-classification")
    found = tensors(classes, [[HIGH, LOW]], "score", "json", "label")
    assert orjson.loads(found["json"][1][0]) == [HIGH, LOW]
    assert tensors(classes, [[HIGH, LOW]], "count") == {"count": ("INT64", [2])}
    assert tensors(kind("token-classification"), [[]], "word") == {"word": ("BYTES", [[]])}
    with pytest.raises(InvalidInput, match="output 'scores': does not exist; there are label, score, count, json"):
        tensors(classes, [[HIGH, LOW]], "label", "scores")


def test_a_vector_keeps_every_bit() -> None:
    vector = np.random.default_rng(0).normal(size=384).astype(np.float32)
    sent = orjson.loads(orjson.dumps(vector[None], option=orjson.OPT_SERIALIZE_NUMPY))
    (tensor,) = output_tensors(kind("feature-extraction"), sent, None)
    assert tensor.values.tobytes() == vector.tobytes()
