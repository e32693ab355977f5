"""The load generator in a process of its own, so that its CPU is not counted as the service's."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from loadtests.bench.child import Child, take_orders
from loadtests.bench.environment import child_environment
from loadtests.bench.load import Load, Result, run


class LoadProcess:
    """Runs loads, one after another."""

    def __init__(self, child: Child) -> None:
        self._child = child

    def run(self, load: Load) -> Result:
        return Result(**self._child.order(asdict(load)))


@contextmanager
def load_process() -> Iterator[LoadProcess]:
    with Child(__name__, environment=child_environment()) as child:
        yield LoadProcess(child)


def _do(order: dict[str, Any]) -> dict[str, Any]:
    return asdict(asyncio.run(run(Load(**order))))


if __name__ == "__main__":
    take_orders(_do)
