"""For all tests: nothing is asked of a model hub, torch keeps to one thread, services have the first turn."""

import os
from typing import Any

import pytest

from tests.embedded_service import embedded as embedded

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"  # before torch is imported

ASKING = ("tests/clients/", "tests/service/")  # those that start services and ask them
POLITE = 10  # niceness of all others, which run beside them on the same cores


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(ASKING))


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Of several workers one gets a whole file, whose tests share models, and one all that asks services.

    Services come first, so that no core waits at the end; and one at a time: two that start together overload a machine
    of two cores, for Ray gives a node 30 s to start.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return "services" if nodeid.startswith(ASKING) else nodeid.split("::")[0]

    return ByFile(config, log)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Of several workers, those that do not ask services leave the cores to the one that does."""
    if "PYTEST_XDIST_WORKER" in os.environ and not item.nodeid.startswith(ASKING):
        os.nice(max(0, POLITE - os.nice(0)))
