"""The process in which a contender is put under load: the model is in it, or behind HTTP. One torch thread."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from loadtests.bench.generation.backends.engine import ROWS, InFlight
from loadtests.bench.generation.backends.static_batches import Pass
from loadtests.bench.generation.driver import Contender, run_open, run_saturated
from loadtests.bench.generation.requests import Wanted, backlog
from loadtests.bench.generation.streams import Load, Stream
from loadtests.processes.child import Child, take_orders
from loadtests.processes.environment import child_environment


class GenerationChild:
    """The parent's side. One contender at a time; another one ends it."""

    def __init__(self, child: Child) -> None:
        self._child = child

    def open(self, contender: str, **options: Any) -> None:
        """Load a model with its contender, and warm it up."""
        self._child.order({"do": "open", "contender": contender, "options": options})

    def close(self) -> None:
        self._child.order({"do": "close"})

    def arrive(self, wanted: Sequence[Wanted], drain_s: float) -> Load:
        """Each request at its moment."""
        return _load(self._child.order({"do": "arrive", "wanted": list(map(asdict, wanted)), "drain_s": drain_s}))

    def saturate(self, wanted: Sequence[Wanted], under_way: int, seconds: float, settle_s: float) -> Load:
        """So many under way, always."""
        order = {"do": "saturate", "under_way": under_way, "seconds": seconds, "settle_s": settle_s}
        return _load(self._child.order(order | {"wanted": list(map(asdict, wanted))}))

    def limit(self, prompt: int, new: int) -> Pass:
        """A static batch of equal lengths."""
        return Pass(**self._child.order({"do": "limit", "prompt": prompt, "new": new}))


@contextmanager
def generation_child(folder: str = "") -> Iterator[GenerationChild]:
    """Around the model in a folder, or around what contenders bring with them."""
    with Child(__name__, folder, environment=child_environment(threads=1)) as child:
        yield GenerationChild(child)


def _load(answer: dict[str, Any]) -> Load:
    return Load([Stream(**stream) for stream in answer.pop("streams")], **answer)


class _Runner:
    """The child's side."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._contender: Contender | None = None
        self._limit: Any = None

    def run(self, order: dict[str, Any]) -> Any:
        do = order.pop("do")
        if do == "arrive":
            assert self._contender is not None
            return asdict(run_open(self._contender, _wanted(order["wanted"]), order["drain_s"]))
        if do == "saturate":
            assert self._contender is not None
            wanted = _wanted(order.pop("wanted"))
            return asdict(run_saturated(self._contender, wanted, **order))
        if do == "limit":
            return asdict(self._equal_lengths(order["prompt"], order["new"]))
        if self._contender is not None:
            self._contender.close()
            self._contender = None
        if do == "open":
            self._contender = _made(order["contender"], self._folder, order["options"])
            run_open(self._contender, backlog(4, longest=16, seed=1), drain_s=30)  # the first calls are slower
        return None

    def _equal_lengths(self, prompt: int, new: int) -> Pass:
        from loadtests.bench.generation.backends.static_batches import Generating

        if self._limit is None:
            self._limit = Generating(self._folder)
            self._limit.limit(ROWS, prompt, 4)
        done: Pass = self._limit.limit(ROWS, prompt, new)
        return done


def _wanted(given: Sequence[dict[str, Any]]) -> list[Wanted]:
    return [Wanted(each["at_s"], tuple(each["ids"]), each["new"]) for each in given]


def _made(contender: str, folder: str, options: dict[str, Any]) -> Contender:
    if contender == "http":
        from loadtests.bench.generation.backends.streaming_http import StreamingHttp

        return StreamingHttp(**options)
    import torch

    from loadtests.bench.generation.backends.continuous import Continuous
    from loadtests.bench.generation.backends.static_batches import StaticBatches

    torch.set_num_threads(1)
    if contender == "engine":
        return InFlight(folder)
    if contender == "continuous":
        return Continuous(folder, ROWS)
    return StaticBatches(folder, {"static": ROWS, "alone": 1}[contender])


if __name__ == "__main__":
    take_orders(_Runner(sys.argv[1]).run)
