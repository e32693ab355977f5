"""These tests ask the embedded models."""

from collections.abc import Iterator

import httpx
import pytest

from tests.service.running import RunningService


@pytest.fixture(scope="session")
def service(embedded: RunningService) -> RunningService:
    return embedded


@pytest.fixture
def client(service: RunningService) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=60) as client:
        yield client
