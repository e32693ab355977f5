"""For all tests: nothing is asked of a model hub, torch keeps to one thread, and what asks a service comes first."""

import gc
import logging
import os
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from deployments.telemetry.logs import LOGGERS, REQUESTS
from tests.embedded_service import STARTED
from tests.embedded_service import embedded as embedded
from tests.time_spent import TimeSpent

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["AUTOMODEL_SERVE_BUILDS"] = "use"  # nothing is exported by the way: torch computes small checkpoints
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"  # before torch is imported

# `make test` asks few examples, each time the same: a failure stays one. `make test-long` draws many, anew each time.
_any_speed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", _any_speed, max_examples=20, derandomize=True)
settings.register_profile("long", _any_speed, max_examples=1000)
settings.load_profile("quick")  # `--hypothesis-profile` comes later

# They ask services, and share them.
ASKING = ("tests/clients/", "tests/playground/", "tests/service/")


@pytest.fixture(autouse=True)
def loggers_as_before() -> Iterator[None]:
    """A gateway that a test builds in this process sends log lines through Ray; the next test's do not go there."""
    loggers = [logging.getLogger(name) for name in (*LOGGERS, REQUESTS)]
    before = [(each.parent, each.level, each.propagate, list(each.handlers)) for each in loggers]
    yield
    for each, (parent, level, propagate, handlers) in zip(loggers, before, strict=True):
        each.parent, each.propagate, each.handlers = parent, propagate, handlers
        each.setLevel(level)


@pytest.fixture(scope="session")
def writing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """`Writing` of tests/writing_checkpoints.py: each model that writes is made and loaded once in this process."""
    from tests.writing_checkpoints import Writing

    made = Writing(tmp_path_factory.mktemp("writing"))
    yield made
    made.stop()


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(TimeSpent(), "time-spent")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What collecting makes stays to the end: the garbage collector need not look through it again and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of several workers one begins with the services, the largest first; the others do the rest meanwhile."""
    items.sort(key=lambda item: (not item.nodeid.startswith(ASKING), not asks_embedded(item)))


def asks_embedded(item: pytest.Item | None) -> bool:
    """Whether a test asks the embedded models, by a fixture or by the service that its call names."""
    call = getattr(getattr(item, "callspec", None), "params", {}).get("call")
    return "embedded" in getattr(item, "fixturenames", ()) or getattr(call, "service", None) == "embedded"


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """The largest service ends with the last test that asks it, so that it is not beside the others."""
    if asks_embedded(item) and not asks_embedded(nextitem):
        for running in STARTED:
            running.stop()


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A worker gets a whole file, whose tests share models, and one worker gets all that asks services.

    Two workers that start services at once overload a machine of two cores: Ray gives a node 30 s to start."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return "services" if nodeid.startswith(ASKING) else nodeid.split("::")[0]

    return ByFile(config, log)
