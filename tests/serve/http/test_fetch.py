"""Inputs by URL: nobody is asked but the hosts that are listed, and they are not trusted either."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from deployments.errors import InvalidInput, TooLarge
from deployments.media.content import Media
from deployments.registry import TASKS
from serve.http.fetch import Fetcher
from tests.quiet_server import QuietServer

REQUEST = TASKS["image-classification"].request
FILE = b"a picture, say"


class Files(BaseHTTPRequestHandler):
    asked: list[str] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        status = {"/file": 200, "/large": 200, "/elsewhere": 302}.get(self.path, 404)
        self.send_response(status)
        if status == 302:
            self.send_header("location", "/file")
        self.end_headers()
        self.wfile.write(FILE * (1000 if self.path == "/large" else 1))

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    with QuietServer(("127.0.0.1", 0), Files) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def fetcher(*hosts: str) -> Fetcher:
    return Fetcher(hosts, max_bytes=10_000, timeout_s=5)


async def test_a_listed_host_is_asked(host: str) -> None:
    request = await fetcher(host).fetch(REQUEST(inputs=f"http://{host}/file"))
    assert request.inputs.data == FILE


async def test_urls_may_stand_among_other_inputs(host: str) -> None:
    request = REQUEST(inputs=["AAAA", f"http://{host}/file", Media(b"mine")])
    got = await fetcher(host).fetch(request)
    assert [media.data for media in got.inputs] == [b"\0\0\0", FILE, b"mine"]


async def test_urls_in_objects_and_chats_are_asked_once_each(host: str) -> None:
    url, kind = f"http://{host}/file", TASKS["image-to-text"].request
    parts = [{"type": "image", "url": url}, {"type": "image_url", "image_url": {"url": url}}, {"type": "image"}]
    parts[2]["image"] = "AAAA"
    chat = [{"role": "user", "content": "Look."}, {"role": "user", "content": parts}]
    Files.asked.clear()
    got = await fetcher(host).fetch(kind(inputs=[{"image": url, "text": "a"}, chat]))
    pictured, (words, shown) = got.inputs
    assert (pictured.image.data, pictured.text, words.content) == (FILE, "a", "Look.")
    assert [part.media.data for part in shown.content] == [FILE, FILE, b"\0\0\0"]
    assert Files.asked == ["/file"]
    for inputs in ({"image": url}, chat, [chat]):
        with pytest.raises(InvalidInput, match="add the host to `media.allow_urls`"):
            await fetcher().fetch(kind(inputs=inputs))
    assert Files.asked == ["/file"]


async def test_nothing_is_asked_by_default(host: str) -> None:
    before = list(Files.asked)
    with pytest.raises(InvalidInput, match="add the host to `media.allow_urls`"):
        await fetcher().fetch(REQUEST(inputs=f"http://{host}/file"))
    with pytest.raises(InvalidInput, match=host):
        await fetcher("localhost", "127.0.0.1").fetch(REQUEST(inputs=f"http://{host}/file"))
    assert Files.asked == before


@pytest.mark.parametrize("url", ["http://listed@{host}/file", "http://{host}/file?listed", "http://{host}#@listed"])
async def test_a_url_cannot_pretend(host: str, url: str) -> None:
    with pytest.raises(InvalidInput, match="not an allowed host"):
        await fetcher("listed").fetch(REQUEST(inputs=url.format(host=host)))


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("missing", InvalidInput, "returned status 404"),
        ("elsewhere", InvalidInput, "returned status 302"),
        ("large", TooLarge, "more than 10,000 bytes"),
    ],
)
async def test_what_does_not_come(host: str, path: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        await fetcher(host).fetch(REQUEST(inputs=f"http://{host}/{path}"))


async def test_a_host_that_does_not_answer() -> None:
    with pytest.raises(InvalidInput, match="cannot be fetched"):
        await fetcher("127.0.0.1:1").fetch(REQUEST(inputs="http://127.0.0.1:1/file"))


async def test_requests_without_urls_are_left_alone() -> None:
    for request in (REQUEST(inputs="AAAA"), TASKS["text-classification"].request(inputs="http://not.a/file")):
        assert await fetcher().fetch(request) is request
