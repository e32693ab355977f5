"""The service that many tests share: the embedded models that are served by default, all thirteen tasks."""

from collections.abc import Iterator

import pytest

from deployments.checkpoints.files import EMBEDDED_PREFIX, resolve
from deployments.zoo.embedded import DEFAULT
from deployments.zoo.package import PackageUnavailable
from serve.cluster.launch import free_port
from tests.service.running import RunningService

MAX_WAITING = 64  # below the default, so that too much is soon reached
STARTED: list[RunningService] = []  # in this process: at most one


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A running service."""
    for name in DEFAULT:
        try:
            resolve(EMBEDDED_PREFIX + name)
        except PackageUnavailable as error:
            pytest.skip(f"an embedded model cannot be built here: {error}")
    env = {"AUTOMODEL_SERVE_LIMITS__MAX_WAITING": str(MAX_WAITING), "AUTOMODEL_SERVE_BUILDS": "make"}
    with RunningService(log=tmp_path_factory.mktemp("service") / "log", env=env, grpc_port=free_port()) as running:
        STARTED.append(running)
        yield running
