"""Exceptions to answers."""

import orjson
import pytest
from pydantic import ValidationError

from deployments.errors import Overloaded
from deployments.tasks.text_classification import Request
from serve.http.errors import error_content, validation_error


def why(body: bytes) -> tuple[int, str]:
    with pytest.raises(ValidationError) as caught:
        Request.model_validate_json(body)
    error = validation_error(caught.value)
    return error.status, error.message


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"{", 400, "the body is not JSON"),
        (b'{"inputs": "\xff"}', 400, "the body is not JSON"),
        (b'{"inputs": ' + b"[" * 5000, 400, "nested too deeply"),
        (b"{}", 422, "inputs: is missing"),
        (b"[1]", 422, "body: should be an object"),
        (b'{"inputs": 5}', 422, "inputs: should be a valid string or an object or a valid array"),
        (b'{"inputs": ["a", {"text": 1}]}', 422, "inputs[1].text: should be a valid string"),
        (b'{"inputs": "a", "parameters": {"topk": 1}}', 422, "parameters.topk: unknown field"),
        (b'{"inputs": "a", "parameters": {"top_k": 0}}', 422, "parameters.top_k: should be greater than"),
        (b'{"inputs": "a", "parameters": {"top_k": "1"}}', 422, "parameters.top_k: should be a valid integer"),
    ],
)
def test_what_is_wrong_and_where(body: bytes, status: int, message: str) -> None:
    found = why(body)
    assert found[0] == status
    assert message in found[1]


def test_many_problems_are_cut() -> None:
    body = orjson.dumps({"inputs": "a", **{f"field{i}": 1 for i in range(9)}})
    assert why(body)[1].endswith("(and 4 more)")


def test_a_retry_is_named() -> None:
    status, content, headers = error_content(Overloaded("full", retry_after=3), "id-1")
    assert (status, headers) == (429, [(b"retry-after", b"3")])
    assert content == {"error": "full", "error_type": "overloaded", "request_id": "id-1"}


def test_an_unexpected_error_tells_the_caller_nothing_inside() -> None:
    status, content, _ = error_content(RuntimeError("secret path"), "id-2")
    assert status == 500
    assert "secret" not in str(content)
    assert content["request_id"] == "id-2"
