"""For all tests: nothing is asked of a model hub, torch keeps to one thread, and what asks a service comes last."""

import os

import pytest

from tests.embedded_service import embedded as embedded

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"  # before torch is imported

ASKING = ("tests/clients/", "tests/service/")  # a service that runs beside other tests would slow them down


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.nodeid.startswith(ASKING))
