"""The load generator in a process of its own, so that its CPU is not counted as the service's."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, astuple
from typing import Any

from loadtests.load.closed_load import Load, Result, run
from loadtests.load.open_load import Asked, OpenLoad, OpenResult, Phase, run_open
from loadtests.processes.child import Child, take_orders
from loadtests.processes.environment import child_environment


class LoadProcess:
    """Runs loads, one after another."""

    def __init__(self, child: Child) -> None:
        self._child = child

    def run(self, load: Load) -> Result:
        return Result(**self._child.order(asdict(load)))

    def run_open(self, load: OpenLoad) -> OpenResult:
        result = OpenResult(**self._child.order(asdict(load)))
        result.asked = [Asked(*each) for each in result.asked]  # type: ignore[misc]
        return result


@contextmanager
def load_process() -> Iterator[LoadProcess]:
    with Child(__name__, environment=child_environment()) as child:
        yield LoadProcess(child)


def _do(order: dict[str, Any]) -> dict[str, Any]:
    if "phases" not in order:
        return asdict(asyncio.run(run(Load(**order))))
    phases = [Phase(**phase) for phase in order.pop("phases")]
    result = asyncio.run(run_open(OpenLoad(phases=phases, **order)))
    return asdict(result) | {"asked": [astuple(each) for each in result.asked]}


if __name__ == "__main__":
    take_orders(_do)
