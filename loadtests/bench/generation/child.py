"""The process that puts a load on a backend, and holds the model if it is in process. One compute thread."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from loadtests.bench.generation.backends.engine import MAX_ROWS, EngineBackend
from loadtests.bench.generation.backends.static_batches import OfflinePass
from loadtests.bench.generation.driver import Backend, run_open, run_saturated
from loadtests.bench.generation.requests import GenerationRequest, backlog
from loadtests.bench.generation.streams import StreamingResult, TokenStream
from loadtests.processes.child import Child, answer_calls
from loadtests.processes.environment import child_environment


class GenerationChild:
    """The parent's side. It has one backend at a time; opening another closes it."""

    def __init__(self, child: Child) -> None:
        self._child = child

    def open(self, backend: str, **options: Any) -> None:
        """Load the backend and warm it up."""
        self._child.call({"do": "open", "backend": backend, "options": options})

    def close(self) -> None:
        self._child.call({"do": "close"})

    def run_open(self, requests: Sequence[GenerationRequest], drain_s: float) -> StreamingResult:
        return _result(self._child.call({"do": "run_open", "requests": _plain(requests), "drain_s": drain_s}))

    def run_saturated(
        self, requests: Sequence[GenerationRequest], in_flight: int, seconds: float, settle_s: float
    ) -> StreamingResult:
        settings = {"in_flight": in_flight, "seconds": seconds, "settle_s": settle_s}
        return _result(self._child.call({"do": "run_saturated", "requests": _plain(requests)} | settings))

    def offline(self, prompt: int, new: int) -> OfflinePass:
        """One static batch of equal lengths, in tokens."""
        return OfflinePass(**self._child.call({"do": "offline", "prompt": prompt, "new": new}))


@contextmanager
def generation_child(folder: str = "") -> Iterator[GenerationChild]:
    """A child for the model in a folder, or for servers."""
    with Child(__name__, folder, environment=child_environment(threads=1)) as child:
        yield GenerationChild(child)


def _plain(requests: Sequence[GenerationRequest]) -> list[dict[str, Any]]:
    return [asdict(each) for each in requests]


def _result(plain: dict[str, Any]) -> StreamingResult:
    return StreamingResult([TokenStream(**stream) for stream in plain.pop("streams")], **plain)


class _Runner:
    """The child's side."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._backend: Backend | None = None
        self._model: Any = None

    def run(self, call: dict[str, Any]) -> Any:
        do = call.pop("do")
        if do == "offline":
            return asdict(self._offline(call["prompt"], call["new"]))
        if do in ("run_open", "run_saturated"):
            assert self._backend is not None
            requests = _requests(call.pop("requests"))
            run = run_open if do == "run_open" else run_saturated
            return asdict(run(self._backend, requests, **call))
        if self._backend is not None:
            self._backend.close()
            self._backend = None
        if do == "open":
            self._backend = _backend(call["backend"], self._folder, call["options"])
            run_open(self._backend, backlog(4, max_tokens=16, seed=1), drain_s=30)  # the first calls are slower
        return None

    def _offline(self, prompt: int, new: int) -> OfflinePass:
        from loadtests.bench.generation.backends.static_batches import GenerateModel

        if self._model is None:
            self._model = GenerateModel(self._folder)
            self._model.offline(MAX_ROWS, prompt, 4)
        done: OfflinePass = self._model.offline(MAX_ROWS, prompt, new)
        return done


def _requests(plain: Sequence[dict[str, Any]]) -> list[GenerationRequest]:
    return [GenerationRequest(each["due"], tuple(each["ids"]), each["new"]) for each in plain]


def _backend(name: str, folder: str, options: dict[str, Any]) -> Backend:
    if name == "http":
        from loadtests.bench.generation.backends.http_stream import HttpStreamBackend

        return HttpStreamBackend(**options)
    import torch

    from loadtests.bench.generation.backends.continuous import ContinuousBackend
    from loadtests.bench.generation.backends.static_batches import StaticBatchBackend

    torch.set_num_threads(1)
    if name in ("engine", "paged"):
        return EngineBackend(folder, is_exported=name == "paged")
    if name == "continuous":
        return ContinuousBackend(folder, MAX_ROWS)
    return StaticBatchBackend(folder, {"static": MAX_ROWS, "alone": 1}[name])


if __name__ == "__main__":
    answer_calls(_Runner(sys.argv[1]).run)
