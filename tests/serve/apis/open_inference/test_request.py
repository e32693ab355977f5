"""Tensors and parameters to the tasks' own requests."""

import base64
import io
import wave
from typing import Any

import numpy as np
import orjson
import pytest

from deployments.contract.task import Task
from deployments.errors import InvalidInput, ServiceError
from deployments.registry import KINDS
from serve.apis.open_inference.messages import InferRequest
from serve.apis.open_inference.request import input_tensors, task_request
from serve.apis.open_inference.tensor import Tensor, object_array

PNG = b"\x89PNG\r\n\x1a\n\xff"
WAV_SILENCE = b"RIFF$\0\0\0WAVEfmt " + bytes(28)


def kind(name: str, medium: str = "text") -> type[Task[Any, Any]]:
    return next(kind for kind in KINDS if (kind.name, kind.medium) == (name, medium))


def of(name: str, *elements: Any, shape: tuple[int, ...] | None = None, **parameters: Any) -> Tensor:
    return Tensor(name, "BYTES", object_array(list(elements), shape or (len(elements),)), parameters)


def number(name: str, values: Any, datatype: str = "INT32", **parameters: Any) -> Tensor:
    return Tensor(name, datatype, np.array(values), parameters)


def body(task: type[Task[Any, Any]], *inputs: Tensor, **parameters: Any) -> dict[str, Any]:
    return task_request(task, InferRequest("", parameters, inputs, None)).body


@pytest.mark.parametrize(
    ("task", "inputs", "expected"),
    [
        (kind("feature-extraction"), [of("text", b"a", "b")], ["a", "b"]),
        (kind("feature-extraction"), [of("text", b"a", b"b", shape=(2, 1))], ["a", "b"]),
        (kind("feature-extraction"), [of("text", b"a", shape=())], ["a"]),
        (kind("feature-extraction"), [number("input_ids", [[7, 8]], "INT64")], [[7, 8]]),
        (kind("feature-extraction"), [number("input_ids", [7, 8], "INT64")], [[7, 8]]),
        (kind("text-classification"), [of("text", b"a")], ["a"]),
        (
            kind("text-classification"),
            [of("text", b"a", b"b"), of("text_pair", b"c", b"d")],
            [{"text": "a", "text_pair": "c"}, {"text": "b", "text_pair": "d"}],
        ),
        (
            kind("question-answering"),
            [of("question", "q"), of("context", "c")],
            [{"question": "q", "context": "c"}],
        ),
        (
            kind("multiple-choice"),
            [of("prompt", b"p", b"q"), of("choices", b"a", b"b", b"c", b"d", shape=(2, 2))],
            [{"prompt": "p", "choices": ["a", "b"]}, {"prompt": "q", "choices": ["c", "d"]}],
        ),
        (
            kind("multiple-choice"),
            [of("prompt", b"p"), of("choices", b"a", b"b")],
            [{"prompt": "p", "choices": ["a", "b"]}],
        ),
        (kind("image-classification", "image"), [of("image", PNG)], [base64.b64encode(PNG).decode()]),
        (kind("image-classification", "image"), [of("image", b"aGFsbG8=\n")], ["aGFsbG8=\n"]),
        (
            kind("image-classification", "image"),
            [of("image", "data:image/png;base64,aaaa")],
            ["data:image/png;base64,aaaa"],
        ),
        (kind("audio-classification", "audio"), [of("audio", WAV_SILENCE)], [base64.b64encode(WAV_SILENCE).decode()]),
        (
            kind("image-to-text", "image"),
            [of("image", PNG), of("text", b"what?")],
            [{"image": base64.b64encode(PNG).decode(), "text": "what?"}],
        ),
        (
            kind("text-generation"),
            [of("json", b'[{"role":"user","content":"a"}]')],
            [[{"role": "user", "content": "a"}]],
        ),
    ],
)
def test_tensors_are_the_inputs_of_the_tasks_own_request(
    task: type[Task[Any, Any]], inputs: list[Tensor], expected: Any
) -> None:
    assert body(task, *inputs) == {"inputs": expected}


@pytest.mark.parametrize("task", KINDS, ids=lambda task: f"{task.name}-{task.medium}")
def test_the_example_of_every_task_can_be_sent_as_tensors_and_as_json(task: type[Task[Any, Any]]) -> None:
    example = task.example["inputs"]
    fields = example if isinstance(example, dict) else {input_tensors(task).required[0]: example}
    tensors = [
        of(name, *value, shape=(1, len(value))) if isinstance(value, list) else of(name, value)
        for name, value in fields.items()
    ]
    for inputs in (tensors, [of("json", orjson.dumps(example))]):
        built = body(task, *inputs, **task.example.get("parameters", {}))
        assert built == task.example | {"inputs": [example]}
        task.request.model_validate_json(orjson.dumps(built))


def test_samples_become_a_wav_file() -> None:
    samples = np.array([[0.5, -0.25, 0.0]], np.float32)
    recognition = kind("speech-recognition-ctc", "audio")
    (floats,) = body(recognition, number("audio", samples, "FP32"), sampling_rate=8000)["inputs"]
    data = base64.b64decode(floats)
    assert np.frombuffer(data[44:], "<f4").tolist() == samples[0].tolist()
    assert int.from_bytes(data[24:28], "little") == 8000
    (integers,) = body(recognition, number("audio", [1, -2, 3], "INT16", sampling_rate=16000))["inputs"]
    with wave.open(io.BytesIO(base64.b64decode(integers))) as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (16000, 2, 1)
        assert np.frombuffer(file.readframes(3), "<i2").tolist() == [1, -2, 3]
    rate = number("sampling_rate", [8000])
    assert body(recognition, number("audio", samples, "FP32"), rate) == {"inputs": [floats]}


def test_parameters_find_their_place() -> None:
    classes = kind("text-classification")
    assert body(classes, of("text", "a"), top_k=1, partial=True) == {
        "inputs": ["a"],
        "parameters": {"top_k": 1},
        "partial": True,
    }
    assert body(kind("feature-extraction"), of("text", "a"), normalize=True)["normalize"] is True
    assert body(classes, of("text", "a", top_k=3), number("truncate", [True], "BOOL"))["parameters"] == {
        "top_k": 3,
        "truncate": True,
    }
    writes = kind("text-generation")
    assert body(writes, of("text", "a"), stop="x")["parameters"]["stop"] == ["x"]
    assert body(writes, of("text", "a"), stop='["x", "[y"]')["parameters"]["stop"] == ["x", "[y"]
    assert body(writes, of("text", "a"), of("stop", b"[x"))["parameters"]["stop"] == ["[x"]
    assert body(kind("text2text-generation"), of("text", "a"), src_lang="[en]")["parameters"]["src_lang"] == "[en]"
    assert body(
        classes, of("text", "a", binary_data_size=5, content_type="str"), priority=1, binary_data_output=True
    ) == {"inputs": ["a"]}


def test_the_timeout_is_in_microseconds() -> None:
    asked = InferRequest("", {"timeout": 1_500_000}, [of("text", "a")], None)
    assert task_request(kind("fill-mask"), asked).timeout_s == 1.5


@pytest.mark.parametrize(
    ("task", "inputs", "parameters", "message"),
    [
        ("fill-mask", [], {}, "inputs: text missing"),
        ("question-answering", [], {}, "inputs: question and context missing"),
        ("fill-mask", [of("txt", "a")], {}, "input 'txt': unknown; did you mean 'text'?"),
        ("fill-mask", [of("zzz", "a")], {}, "input 'zzz': unknown; there are text, json, and parameters"),
        ("fill-mask", [of("text", "a"), of("text", "b")], {}, "input 'text': appears twice"),
        ("fill-mask", [of("text", "a", "b", shape=(1, 2))], {}, "input 'text': its shape [1, 2] should be [batch]"),
        ("fill-mask", [number("text", [1])], {}, "input 'text': should be BYTES, not INT32"),
        ("fill-mask", [of("text", b"\xff")], {}, "input 'text': an element is not UTF-8, at byte 0"),
        ("fill-mask", [of("json", b"{")], {}, "input 'json': element 0 is not JSON"),
        ("fill-mask", [number("json", [1])], {}, "input 'json': should be BYTES"),
        ("fill-mask", [of("json", b'"a"'), of("text", b"a")], {}, "input 'json': cannot be combined with others"),
        ("feature-extraction", [of("input_ids", "a")], {}, "input 'input_ids': should be INT64, not BYTES"),
        (
            "question-answering",
            [of("question", "a"), of("context", "b", "c")],
            {},
            "and differs: 'question' has 1, 'context' has 2",
        ),
        (
            "fill-mask",
            [of("text", "a"), number("top_k", [1, 2])],
            {},
            "input 'top_k': is a parameter, so it should have one",
        ),
        ("fill-mask", [of("text", "a", top_k=1)], {"top_k": 2}, "parameter 'top_k' of input 'text': given twice"),
        ("fill-mask", [of("text", "a")], {"sequence_id": 3}, "parameter 'sequence_id': models have no state"),
        ("fill-mask", [of("text", "a", shared_memory_region="r")], {}, "shared memory is not supported"),
        ("fill-mask", [of("text", "a")], {"timeout": 0}, "parameter 'timeout': should be a number of microseconds"),
        ("fill-mask", [of("text", "a")], {"inputs": "b"}, "parameter 'inputs': should be a tensor"),
        ("text-generation", [of("text", "a")], {"stream": True}, "use /generate_stream"),
    ],
)
def test_what_cannot_be_asked_is_said(
    task: str, inputs: list[Tensor], parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(ServiceError) as caught:
        body(kind(task), *inputs, **parameters)
    assert message in caught.value.message
    assert 400 <= caught.value.status < 500


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (number("audio", [[0.5]], "FP32"), "samples need the parameter sampling_rate"),
        (number("audio", [[0.5]], "FP32", sampling_rate=True), "samples need the parameter sampling_rate"),
        (number("audio", [[0.5]], "FP32", sampling_rate=10**9), "from 1 to 768,000"),
        (number("audio", [[1]], "UINT8", sampling_rate=8000), "should be BYTES (files) or samples"),
        (number("audio", [[[0.5, 0.5]]], "FP32", sampling_rate=8000), "its shape [1, 1, 2] should be [batch, n]"),
    ],
)
def test_what_is_no_recording_is_said(tensor: Tensor, message: str) -> None:
    with pytest.raises(InvalidInput, match="input 'audio'") as caught:
        body(kind("audio-classification", "audio"), tensor)
    assert message in caught.value.message
