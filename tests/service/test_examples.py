"""The examples of the documentation, run as they are printed: each `curl` must get the answer below it."""

import json
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from serve.gateway.openapi import _HEADERS as HEADERS
from tests.service.running import RunningService

pytestmark = pytest.mark.ray

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
ADDRESS = "http://127.0.0.1:8000"  # where the pages expect the service


@dataclass(frozen=True, slots=True)
class Example:
    """A `curl` of a page as a request, and the answer printed below it."""

    method: str
    path: str
    headers: dict[str, str]
    body: str | bytes | None
    form: list[tuple[str, Any]]
    answer: Any


def examples(text: str) -> list[Example]:
    """The `$ curl …` lines of all console blocks, each with the JSON up to the next command."""
    found = []
    for block in re.findall(r"```(?:console|bash)\n(.*?)```", text, re.DOTALL):
        for command in re.split(r"^\$ ", block, flags=re.MULTILINE):
            if command.startswith("curl "):
                line, _, answer = command.partition("\n")
                found.append(example(shlex.split(line), parsed(answer)))
    return found


def parsed(answer: str) -> Any:
    """JSON, or the JSON of every event of a stream."""
    if not answer.startswith("data:"):
        return json.loads(answer)
    return [json.loads(line.removeprefix("data:")) for line in answer.splitlines() if line]


def example(words: list[str], answer: Any) -> Example:
    """What curl would send; an option that no page uses yet is an error, so that none is silently ignored."""
    url, headers, body, form = "", {}, None, []
    rest = iter(words[1:])
    for word in rest:
        if word == "-H":
            name, _, value = next(rest).partition(":")
            headers[name] = value.strip()
        elif word == "-d":
            body = next(rest)
        elif word == "--data-binary":
            body = (ROOT / next(rest).removeprefix("@")).read_bytes()
            headers.setdefault("content-type", "application/x-www-form-urlencoded")  # curl's own
        elif word == "-F":
            name, _, value = next(rest).partition("=")
            form.append((name, (ROOT / value[1:]) if value.startswith("@") else value))
        elif word.startswith(ADDRESS):
            url = word
        elif word not in ("-s", "-sN"):
            raise ValueError(f"{word!r} in {shlex.join(words)}")
    method = "POST" if body is not None or form else "GET"
    return Example(method, url.removeprefix(ADDRESS), headers, body, form, answer)


def close(a: Any, b: Any) -> bool:
    """Equal, but for times; numbers within 1e-3, since those printed are rounded."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(close(a[key], b[key]) for key in a if key != "timings")
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(close(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, float) or isinstance(b, float):
        return isinstance(a, (int, float)) and isinstance(b, (int, float)) and abs(a - b) < 1e-3
    return type(a) is type(b) and a == b


EXAMPLES = {page.name: examples(page.read_text(encoding="utf-8")) for page in PAGES}
_NAMED = [pytest.param(example, id=f"{page}-{example.path}") for page, found in EXAMPLES.items() for example in found]


@pytest.mark.parametrize("example", _NAMED)
def test_an_example_gets_the_printed_answer(service: RunningService, example: Example) -> None:
    files = [(name, value.read_bytes() if isinstance(value, Path) else (None, value)) for name, value in example.form]
    answer = httpx.request(
        example.method,
        service.url + example.path,
        headers=example.headers,
        content=example.body,
        files=files or None,
        timeout=60,
    )
    assert close(parsed(answer.text), example.answer), answer.text


PRINTED = {
    "openai_client.py": [
        "similarity: 0.53",
        "pronunciation: F AA1 T AH0 G R AE2 F",
        "transcription: And Mr. John Dashwood had then leisure to consider how much there might be prudently in his "
        "power to do for them.",
    ],
    "stream.py": [" a small breading of the genus of the genus of", "12 tokens, glosses"],
}


@pytest.mark.parametrize("script", PRINTED)
def test_a_script_of_examples_runs(service: RunningService, script: str) -> None:
    command = [sys.executable, str(ROOT / "examples" / script), service.url]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == PRINTED[script]


def test_answers_have_every_header(client: httpx.Client) -> None:
    cut = client.post("/tasks/feature-extraction", json={"inputs": "word " * 1000})
    written = client.post("/tasks/text2text-generation", json={"inputs": "word"})
    assert (cut.status_code, written.status_code) == (200, 200)
    assert set(HEADERS) - {"x-generated-tokens"} <= cut.headers.keys()
    assert "x-generated-tokens" in written.headers
