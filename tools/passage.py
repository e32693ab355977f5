"""Which files of the product a request passes: one text-classification, and one streamed token of text-generation.

A replica and its ASGI application run in this process, without Ray and a socket. A file counts if one of its functions
is called, or a coroutine of it resumed, on any thread between two moments: the beginning and the end of a request, or
two consecutive events of a stream. `python -m tools.passage` prints the files in the order of their first call.
"""

import asyncio
import json
import sys
import threading
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from deployments.config import ModelConfig
from deployments.registry import find_task
from deployments.replica.replica import Replica
from deployments.telemetry.model_meter import ModelMeter
from serve.config.service import Options
from serve.model.endpoint import build_endpoint
from serve.routes import RouteTable

ROOT = Path(__file__).parents[1]
PRODUCT = tuple(f"{ROOT / package}/" for package in ("deployments", "serve"))
TOKENS = 48


class Passage:
    """Notes which files are passed, in order; `mark` ends a stretch and begins the next."""

    def __init__(self) -> None:
        self.stretches: list[list[str]] = []
        self._passed: dict[str, None] | None = None
        threading.setprofile(self._called)  # threads that are started from now on
        sys.setprofile(self._called)

    def begin(self) -> None:
        self.stretches, self._passed = [], {}

    def mark(self) -> None:
        if self._passed is not None:
            passed, self._passed = self._passed, {}
            self.stretches.append(list(passed))

    def end(self) -> None:
        self.mark()
        self._passed = None

    def whole(self) -> list[str]:
        return list(dict.fromkeys(file for stretch in self.stretches for file in stretch))

    def _called(self, frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and (passed := self._passed) is not None:
            file = frame.f_code.co_filename
            if file.startswith(PRODUCT):
                passed[file.removeprefix(f"{ROOT}/")] = None


async def post(app: Any, path: str, body: dict[str, Any], passage: Passage) -> None:
    """Ask an ASGI application once; every part of its answer's body ends a stretch."""
    content = json.dumps(body).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers}
    unread = [{"type": "http.request", "body": content, "more_body": False}]

    async def receive() -> dict[str, Any]:
        return unread.pop() if unread else await asyncio.Future()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            assert message["status"] == 200, message
        elif message.get("more_body"):
            passage.mark()

    passage.begin()
    await app(scope | {"http_version": "1.1", "raw_path": path.encode(), "root_path": ""}, receive, send)
    passage.end()


async def passed(task: str, model: str, body: dict[str, Any]) -> Passage:
    """What a request passes; the second one, when everything that is imported late has been."""
    passage = Passage()
    kind = find_task(task)
    replica = Replica(ModelConfig(model=f"embedded:{model}", name=model), kind, observer=ModelMeter(model, task))
    replica.load()
    app = build_endpoint(replica, RouteTable([(model, kind)]).routes[0], Options())
    for _ in range(2):
        await post(app, f"/tasks/{task}", body, passage)
        await asyncio.sleep(0.1)
    sys.setprofile(None)
    replica.stop()
    return passage


def token_of(passage: Passage) -> list[str]:
    """What most of the tokens in the middle of a stream pass: threads may be ahead of each other by one."""
    middle = passage.stretches[TOKENS // 4 : -TOKENS // 4]
    [(files, _)] = Counter(frozenset(stretch) for stretch in middle).most_common(1)
    return next(stretch for stretch in middle if set(stretch) == files)


def show(title: str, files: list[str]) -> None:
    print(f"\n{title}: {len(files)} files", *(f"{number:4}  {file}" for number, file in enumerate(files, 1)), sep="\n")


def main() -> None:
    classified = asyncio.run(passed("text-classification", "prompt-injection", {"inputs": "The river rose."}))
    length = {"max_new_tokens": TOKENS, "min_new_tokens": TOKENS}
    body = {"inputs": "violin: a", "parameters": length, "stream": True}
    written = asyncio.run(passed("text-generation", "glosses", body))
    show("One text-classification", classified.whole())
    show("One streamed token of text-generation", token_of(written))
    show(f"A whole stream of {TOKENS} tokens", written.whole())


if __name__ == "__main__":
    main()
