"""These tests ask the embedded models, or a service with much set; a service starts once for all that ask it."""

from collections.abc import Iterator

import httpx
import pytest

from tests.service.configured import configured_service
from tests.service.running import RunningService
from tests.spans import Collector


@pytest.fixture(scope="session")
def service(embedded: RunningService) -> RunningService:
    return embedded


@pytest.fixture
def client(service: RunningService) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=60) as client:
        yield client


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


@pytest.fixture(scope="session")
def configured(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[RunningService]:
    """Keys, traces and more are set. The last test of test_tracing.py ends it."""
    with configured_service(tmp_path_factory.mktemp("configured"), collector.endpoint) as running:
        yield running
