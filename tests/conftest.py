"""For all tests: nothing is asked of a model hub, torch keeps to one thread, and what asks a service comes last."""

import os
from typing import Any

import pytest

from tests.embedded_service import embedded as embedded

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"  # before torch is imported

ASKING = ("tests/clients/", "tests/service/")  # a service that runs beside other tests would slow them down
STARTING = tuple(  # services of their own
    f"tests/service/test_{name}.py"
    for name in "counting declarative_deploy joining keys placement starting_and_ending".split()
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.nodeid.startswith(ASKING))


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Of several workers one gets a whole file, whose tests share models, and one all that asks the
    services that many share, another all that starts its own."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            if nodeid.startswith(STARTING):
                return "starting"
            return "asking" if nodeid.startswith(ASKING) else nodeid.split("::")[0]

    return ByFile(config, log)
