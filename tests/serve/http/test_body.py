"""Ways in: what a body means by its content type, for tasks that read text, pictures and sound."""

import base64
from typing import Any

import httpx
import orjson
import pytest

from deployments.errors import InvalidInput, MalformedRequest, ServiceError, TooLarge, UnsupportedMedia
from deployments.media.content import Media
from deployments.registry import TASKS
from deployments.tasks.feature_extraction_image import ImageFeatureExtraction
from serve.config.service import Limits
from serve.http.body import BodyReader

IMAGE, AUDIO, TEXT = TASKS["image-classification"], TASKS["audio-classification"], TASKS["text-classification"]
FILE = b"\x89PNG not really, but nobody looks yet"
LIMITS = Limits(max_body_mb=0.5, max_batch_items=3)


async def read(kind: Any, body: bytes, content_type: str | None) -> Any:
    headers = [] if content_type is None else [(b"content-type", content_type.encode())]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return await BodyReader(kind.request, kind.medium, LIMITS).read({"type": "http", "headers": headers}, receive)


async def read_form(kind: Any, data: dict[str, str] | None = None, files: Any = None) -> Any:
    """As a client sends it that knows forms."""
    request = httpx.Request("POST", "http://test", data=data, files=files)
    return await read(kind, request.read(), request.headers["content-type"])


def files_of(*contents: bytes) -> list[Any]:
    return [("file", (f"{number}.png", content, "image/png")) for number, content in enumerate(contents)]


@pytest.mark.parametrize(
    ("kind", "content_type"),
    [
        (IMAGE, "image/png"),
        (IMAGE, "IMAGE/JPEG; charset=binary"),
        (IMAGE, "application/octet-stream"),
        (IMAGE, "application/x-www-form-urlencoded"),  # curl --data-binary, if it is not told
        (IMAGE, None),
        (AUDIO, "audio/flac"),
        (AUDIO, "Audio/WAV"),
        (AUDIO, "video/webm"),
        (AUDIO, "application/ogg"),
    ],
)
async def test_the_file_itself(kind: Any, content_type: str | None) -> None:
    request = await read(kind, FILE, content_type)
    assert request.inputs.data == FILE
    assert request.parameters.top_k == 5


@pytest.mark.parametrize(
    "content_type", ["application/json", "Application/JSON; Charset=UTF-8", "application/vnd.api+json", None, ""]
)
async def test_json_with_base64(content_type: str | None) -> None:
    text = base64.b64encode(FILE).decode()
    for inputs in (text, f"data:image/png;base64,{text}"):
        body = orjson.dumps({"inputs": inputs, "parameters": {"top_k": 2}})
        request = await read(IMAGE, body, content_type)
        assert (request.inputs.data, request.parameters.top_k) == (FILE, 2)
    batch = await read(IMAGE, orjson.dumps({"inputs": [text, text]}), "application/json")
    assert [media.data for media in batch.inputs] == [FILE, FILE]


async def test_a_form_with_its_parameters() -> None:
    request = await read_form(IMAGE, {"top_k": "2", "function_to_apply": "sigmoid"}, files_of(FILE))
    assert request.inputs.data == FILE
    assert (request.parameters.top_k, request.parameters.function_to_apply) == (2, "sigmoid")
    request = await read_form(IMAGE, {"parameters": '{"top_k": 3}'}, files_of(FILE))
    assert request.parameters.top_k == 3
    request = await read_form(
        ImageFeatureExtraction, {"normalize": "true", "encoding_format": "base64"}, files_of(FILE)
    )
    assert (request.normalize, request.encoding_format) == (True, "base64")


async def test_a_form_may_ask_about_its_file_and_for_a_stream() -> None:
    fields = {"text": "Who is it?", "stream": "true", "max_new_tokens": "7"}
    request = await read_form(TASKS["image-to-text"], fields, files_of(FILE))
    assert (request.inputs.data, request.text, request.stream) == (FILE, "Who is it?", True)
    assert request.parameters.max_new_tokens == 7
    assert (await read(TASKS["image-to-text"], FILE, "image/png")).inputs.data == FILE


async def test_several_files_of_a_form_are_a_client_batch() -> None:
    request = await read_form(IMAGE, files=files_of(FILE, b"other"))
    assert [media.data for media in request.inputs] == [FILE, b"other"]
    with pytest.raises(TooLarge, match="4 items"):
        await read_form(IMAGE, files=files_of(*[FILE] * 4))


async def test_a_large_file_in_a_form_arrives_whole() -> None:
    file = bytes(range(256)) * 1500
    assert (await read_form(IMAGE, files=files_of(file))).inputs.data == file


@pytest.mark.parametrize(
    ("kind", "body", "content_type", "error", "message"),
    [
        (IMAGE, FILE, "audio/wav", UnsupportedMedia, "reads image/* (the file itself), multipart/form-data and"),
        (AUDIO, FILE, "image/png", UnsupportedMedia, "not image/png"),
        (AUDIO, FILE, "video/avi", UnsupportedMedia, "not video/avi"),
        (TEXT, FILE, "image/png", UnsupportedMedia, "this task reads application/json"),
        (TEXT, b"--x--", "multipart/form-data; boundary=x", UnsupportedMedia, "multipart/form-data"),
        (IMAGE, b"{", "application/json", MalformedRequest, "not JSON"),
        (IMAGE, b' {"inputs": 7}', None, InvalidInput, "inputs"),
        (IMAGE, b'{"inputs": "!!"}', "application/json", InvalidInput, "inputs: is neither base64"),
        (IMAGE, b'{"inputs": ""}', "application/json", InvalidInput, "inputs: is empty"),
        (IMAGE, b'{"inputs": ["AAAA", "%%%"]}', "application/json", InvalidInput, "inputs[1]: "),
        (IMAGE, b'{"inputs": "AAAA", "top_k": 2}', "application/json", InvalidInput, "top_k: unknown field"),
        (IMAGE, b"", "multipart/form-data", MalformedRequest, "not a form"),
        (IMAGE, b"no boundary in sight", "multipart/form-data; boundary=x", MalformedRequest, "not a form"),
        (IMAGE, b"a" * 600_000, "image/png", TooLarge, "more than 524,288 bytes"),
    ],
)
async def test_what_is_refused(
    kind: Any, body: bytes, content_type: str | None, error: type[ServiceError], message: str
) -> None:
    with pytest.raises(error) as caught:
        await read(kind, body, content_type)
    assert type(caught.value) is error
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("data", "files", "message"),
    [
        ({"top_k": "2"}, [("other", ("a.png", FILE, "image/png"))], "other: unknown field; send the file as `file`"),
        ({"colour": "red"}, files_of(FILE), "parameters.colour: unknown field"),
        ({"top_k": "many"}, files_of(FILE), "parameters.top_k: should be a valid integer"),
        ({"top_k": "0"}, files_of(FILE), "parameters.top_k: should be greater than or equal to 1"),
        ({"parameters": "[1]"}, files_of(FILE), "parameters: should be an object, as JSON"),
    ],
)
async def test_what_is_refused_of_a_form(data: dict[str, str], files: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await read_form(IMAGE, data, files)
    assert message in caught.value.message


@pytest.mark.parametrize("kind", [IMAGE, AUDIO])
@pytest.mark.parametrize("field", ["file", "inputs"])
@pytest.mark.parametrize("head", ["", "Content-Type: application/octet-stream\r\n"])
async def test_a_file_needs_no_name(kind: Any, field: str, head: str) -> None:
    """As `@huggingface/inference` in old versions and hand-written clients send it; its bytes are no text."""
    file = bytes(range(256))
    parts = [
        f'--x\r\nContent-Disposition: form-data; name="{field}"\r\n{head}\r\n'.encode() + file,
        b'\r\n--x\r\nContent-Disposition: form-data; name="top_k"\r\n\r\n2\r\n--x--\r\n',
    ]
    request = await read(kind, b"".join(parts), "Multipart/Form-Data; Boundary=x")
    assert request.inputs.data == file
    assert request.parameters.top_k == 2


async def test_a_form_without_a_file() -> None:
    request = httpx.Request("POST", "http://test", files={"top_k": (None, "2")})
    with pytest.raises(InvalidInput, match="file: is missing"):
        await read(IMAGE, request.read(), request.headers["content-type"])


async def test_a_missing_content_type_means_json_to_a_task_that_reads_text() -> None:
    assert (await read(TEXT, b'{"inputs": "a"}', None)).inputs == "a"


async def test_bytes_reach_the_task_as_media() -> None:
    assert isinstance((await read(AUDIO, FILE, "audio/wav")).inputs, Media)
