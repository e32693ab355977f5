"""The page's files: what they weigh, what they may do, and that nothing else is given away."""

from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette

from serve.playground.routes import FOLDER, PAGE, playground_routes

MOST_BYTES = 150_000
FILES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.is_file())
EXAMPLES = FOLDER.parents[2] / "examples/media"


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(Starlette(routes=playground_routes()))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def test_all_files_together_are_light(client: httpx.AsyncClient) -> None:
    """As they go over the wire: every form, view and sample, of which a visitor loads what is looked at."""
    weight = 0
    for file in FILES:
        async with client.stream("GET", f"{PAGE}/static/{file}") as answer:
            assert answer.status_code == 200
            weight += len(b"".join([piece async for piece in answer.aiter_raw()]))
    print(f"{len(FILES)} files, {weight:,} bytes")
    assert weight < MOST_BYTES


@pytest.mark.parametrize("path", [PAGE, f"{PAGE}/static/main.js", f"{PAGE}/static/nothing.js"])
async def test_nothing_of_another_host_and_nothing_inline(client: httpx.AsyncClient, path: str) -> None:
    policy = (await client.get(path)).headers.get("content-security-policy", "")
    if path.endswith("nothing.js"):
        assert (await client.get(path)).status_code == 404
        return
    sources = dict(part.split(" ", 1) for part in policy.split("; "))
    assert sources["default-src"] == "'none'"
    assert sources["script-src"] == sources["style-src"] == sources["connect-src"] == "'self'"
    assert "unsafe" not in policy


@pytest.mark.parametrize(
    ("file", "kind"), [("main.js", "javascript"), ("styles/base.css", "text/css"), ("media/speech.ogg", "ogg")]
)
async def test_files_say_what_they_are(client: httpx.AsyncClient, file: str, kind: str) -> None:
    answer = await client.get(f"{PAGE}/static/{file}")
    assert kind in answer.headers["content-type"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    again = await client.get(f"{PAGE}/static/{file}", headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304


@pytest.mark.parametrize("path", ["../routes.py", "%2e%2e/routes.py", "..%2froutes.py", "/etc/passwd", "tasks"])
async def test_nothing_beside_them_is_given_away(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(f"{PAGE}/static/{path}")).status_code == 404


def test_the_page_names_no_other_host_and_has_nothing_inline() -> None:
    page = (FOLDER / "index.html").read_text(encoding="utf-8")
    assert "http:" not in page
    assert "https:" not in page
    assert "<style" not in page
    assert "style=" not in page
    assert page.count("<script") == page.count('<script type="module" src=')
    for file in FILES:
        if file.endswith((".js", ".css")):
            text = (FOLDER / file).read_text(encoding="utf-8")
            assert "innerHTML" not in text
            assert "eval(" not in text


@pytest.mark.parametrize("name", ["cat.jpg", "digits.png", "speech.ogg"])
def test_samples_are_those_of_the_examples(name: str) -> None:
    assert (FOLDER / "media" / name).read_bytes() == (EXAMPLES / name).read_bytes()
