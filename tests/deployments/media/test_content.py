"""Media as the type of a request's field: what strings it reads, what it says of others, and how it is written."""

import base64
import json
import time

import pytest
from pydantic import ValidationError

from deployments.contract.task import Body
from deployments.errors import InvalidInput
from deployments.media.content import Media

DATA = bytes(range(256)) + b"\xfb\xff\xfe"  # every character of both alphabets, and padding
TEXT = base64.b64encode(DATA).decode()


class Request(Body):
    inputs: Media | list[Media]


def from_json(text: str) -> Media:
    media = Request.model_validate_json(json.dumps({"inputs": text})).inputs
    assert media == Request(inputs=text).inputs
    return media


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        TEXT.rstrip("="),
        base64.urlsafe_b64encode(DATA).decode(),
        base64.urlsafe_b64encode(DATA).decode().rstrip("="),
        base64.encodebytes(DATA).decode(),
        f"  {TEXT}\r\n",
        TEXT[:-1] + "\n=",
    ],
)
def test_base64_in_its_varieties(text):
    assert from_json(text) == Media(DATA)


@pytest.mark.parametrize(
    ("head", "declared"),
    [
        ("data:image/png;base64,", "image/png"),
        ("DATA:Image/PNG;charset=x;BASE64,", "image/png"),
        ("data:;base64,", None),
        ("data:audio/ogg;codecs=opus;base64,", "audio/ogg"),
    ],
)
def test_data_urls(head, declared):
    assert from_json(head + TEXT) == Media(DATA, declared=declared)


@pytest.mark.parametrize("url", ["http://host/a.png", "https://host/a?b=c", "HTTPS://HOST/"])
def test_urls_are_kept_and_not_fetched(url):
    assert from_json(url) == Media(b"", url=url)
    with pytest.raises(InvalidInput, match="^inputs is a URL, which is not fetched here"):
        from_json(url).content()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("====", "is empty"),
        ("data:image/png;base64,", "is empty"),
        ("abc!efgh", "is neither base64 nor a data URL: character '!' at 3"),
        ("file:///etc/passwd", "is neither base64 nor a data URL: character ':' at 4"),
        ("AAAA\u00a0", "is neither base64 nor a data URL: character '\\xa0' at 4"),
        ("AAAAé", "is neither base64 nor a data URL: character 'é' at 4"),
        ("QQ==QQ==", "is neither base64 nor a data URL: character '=' at 2"),
        ("{x}%", "is neither base64 nor a data URL: character '{' at 0"),
        ("AAAAA", "is truncated base64: its length leaves one extra character"),
        ("data:image/png;base64,AA*A", "is a data URL with invalid base64: character '*' at 24"),
        ("data:text/plain,hello", "is a data URL without base64 encoding; use `data:...;base64,...`"),
        ("data:image/png;base64", "is a data URL without a comma after its media type"),
        (17, "should be a string: base64, a data URL or a URL"),
        (None, "should be a string: base64, a data URL or a URL"),
        ({"url": "x"}, "should be a string: base64, a data URL or a URL"),
    ],
)
def test_messages_say_what_is_wrong(value, message):
    for validate in (Request.model_validate, lambda body: Request.model_validate_json(json.dumps(body))):
        with pytest.raises(ValidationError) as caught:
            validate({"inputs": [TEXT, value]})
        assert message in [problem["msg"] for problem in caught.value.errors() if 1 in problem["loc"]]


def test_python_values_pass_as_they_are():
    media = Media(DATA, declared="image/png")
    assert Request(inputs=media).inputs is media
    assert Request(inputs=[media, DATA]).inputs == [media, Media(DATA)]
    assert Request(inputs=b"").inputs == Media(b"")
    with pytest.raises(InvalidInput, match=r"^inputs\[3\] is empty$"):
        Media(b"").content("inputs[3]")


def test_it_is_written_as_it_came():
    for body in ({"inputs": TEXT}, {"inputs": [TEXT, "http://host/x"]}):
        request = Request.model_validate(body)
        assert request.model_dump() == body
        assert request.model_dump(mode="json") == body
        assert json.loads(request.model_dump_json()) == body
        assert Request.model_validate_json(request.model_dump_json()) == request


def test_schema():
    of_field = Request.model_json_schema()["properties"]["inputs"]["anyOf"]
    assert of_field[0]["type"] == "string"
    assert of_field[0]["contentEncoding"] == "base64"
    assert of_field[1] == {"type": "array", "items": of_field[0]}
    assert Request.model_json_schema(mode="serialization")["properties"]["inputs"]["anyOf"] == of_field


def test_bytes_stay_out_of_logs():
    assert "data" not in repr(Media(DATA))


def test_large_files_are_read_in_no_time():
    data = bytes(25_000_000)
    text = base64.b64encode(data).decode()
    body = json.dumps({"inputs": text})
    before = time.process_time()
    assert Request.model_validate_json(body).inputs.data == data
    assert Request(inputs="data:image/png;base64," + text).inputs.data == data
    with pytest.raises(ValidationError):
        Request(inputs=text + "!")
    assert time.process_time() - before < 5  # each takes a tenth of a second or so; per character it would be minutes
