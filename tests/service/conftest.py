"""The service that most tests share: the embedded models that are served by default."""

from collections.abc import Iterator

import httpx
import pytest

from deployments.checkpoint import EMBEDDED_PREFIX, resolve
from deployments.zoo.embedded import DEFAULT
from deployments.zoo.package import PackageUnavailable
from tests.service.running import RunningService

MAX_WAITING = 64  # below the default, so that too much is soon reached


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    for name in DEFAULT:
        try:
            resolve(EMBEDDED_PREFIX + name)
        except PackageUnavailable as error:
            pytest.skip(f"an embedded model cannot be built here: {error}")
    env = {"AUTOMODEL_SERVE_LIMITS__MAX_WAITING": str(MAX_WAITING)}
    with RunningService(log=tmp_path_factory.mktemp("service") / "log", env=env) as running:
        yield running


@pytest.fixture
def client(service: RunningService) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=60) as client:
        yield client
