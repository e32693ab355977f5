import json

from starlette import responses

from serve.http.errors import JSONResponse


def test_it_writes_what_starlettes_own_writes() -> None:
    content = {"text": "Zürich \u2028 ✓", "numbers": [1, -0.25, 1e-7, 12345678901234567], "none": None, "yes": True}
    ours, theirs = JSONResponse(content, 201), responses.JSONResponse(content, 201)
    assert json.loads(ours.body) == json.loads(theirs.body) == content
    assert (ours.status_code, ours.media_type) == (theirs.status_code, theirs.media_type)
    assert len(ours.body) == int(ours.headers["content-length"])


def test_keys_that_are_numbers() -> None:
    assert json.loads(JSONResponse({1: "a"}).body) == {"1": "a"}
