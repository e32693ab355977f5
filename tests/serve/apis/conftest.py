"""A small generating model behind OpenAI's routes, in the engine and in static batches."""

import pytest

from deployments.replica.replica import Replica
from tests.writing_checkpoints import Writing


@pytest.fixture(scope="module", params=["auto", "static"])
def replica(request: pytest.FixtureRequest, writing: Writing) -> Replica:
    return writing.replica("llama", {"generation": {"engine": request.param}}, chat=True)
