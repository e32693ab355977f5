from typing import Any

import pytest

from deployments.contract.task import Task
from tests.checkpoints import Checkpoints, load_task


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory):
    return Checkpoints(tmp_path_factory.mktemp("contract"))


@pytest.fixture(scope="session")
def loaded(checkpoints):
    """`loaded(kind, family)`: a task with a small model of that family, its layout chosen."""
    made: dict[tuple[str, str], Any] = {}

    def load(kind: type[Task[Any, Any]], family: str) -> Any:
        key = (kind.__name__, family)
        if key not in made:
            made[key] = load_task(kind, checkpoints.of(kind, family))
        return made[key]

    return load
