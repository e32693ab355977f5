"""Batchers in front of a forward that is a plain function."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from deployments.batching.batcher import Batcher
from deployments.batching.selection import ArrivalOrder, Selection
from tests.deployments.batching.batcher.parts import Caller, Model


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def caller() -> Caller:
    return Caller()


@pytest.fixture
def started(model: Model) -> Iterator[Callable[..., Batcher]]:
    """`started(selection, …)`: a running batcher in front of the model."""
    made: list[Batcher] = []

    def start(selection: Selection | None = None, **options: Any) -> Batcher:
        batcher = Batcher(options.pop("forward", model), selection or ArrivalOrder(1000, 100), **options)
        made.append(batcher)
        batcher.start()
        return batcher

    yield start
    model.released.set()
    for batcher in made:
        batcher.stop()
