"""The load generator in a process of its own, so that its CPU time is not counted as the server's."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, astuple
from typing import Any

from loadtests.load.arrivals import Phase
from loadtests.load.http_load import ClosedLoad, OpenLoad, run
from loadtests.load.results import LoadResult, RequestResult
from loadtests.processes.child import Child, answer_calls
from loadtests.processes.environment import child_environment


class LoadProcess:
    """Runs loads, one after another."""

    def __init__(self, child: Child) -> None:
        self._child = child

    def run(self, load: ClosedLoad | OpenLoad) -> LoadResult:
        result = self._child.call(asdict(load))
        return LoadResult(requests=[RequestResult(*each) for each in result.pop("requests")], **result)


@contextmanager
def load_process() -> Iterator[LoadProcess]:
    with Child(__name__, environment=child_environment()) as child:
        yield LoadProcess(child)


def _run(settings: dict[str, Any]) -> dict[str, Any]:
    load: ClosedLoad | OpenLoad
    if "phases" in settings:
        load = OpenLoad(phases=[Phase(**phase) for phase in settings.pop("phases")], **settings)
    else:
        load = ClosedLoad(**settings)
    result = asyncio.run(run(load))
    return asdict(result) | {"requests": [astuple(each) for each in result.requests]}


if __name__ == "__main__":
    answer_calls(_run)
