"""A small generating model behind OpenAI's routes, in the engine and in static batches."""

from collections.abc import Iterator

import pytest

from deployments.replica.replica import Replica
from tests.writing_checkpoints import Writing


@pytest.fixture(scope="module")
def writing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Writing]:
    made = Writing(tmp_path_factory.mktemp("writing"))
    yield made
    made.stop()


@pytest.fixture(scope="module", params=["auto", "static"])
def replica(request: pytest.FixtureRequest, writing: Writing) -> Replica:
    return writing.replica("llama", {"generation": {"engine": request.param}}, chat=True)
