"""The models' states: read once a second, by one thread; requests do not wait for a controller that does not answer."""

import asyncio
import threading
import time

import pytest

from serve.cluster.states import ModelState
from serve.gateway import current_states
from serve.gateway.current_states import CurrentStates
from tests.waiting import PATIENCE_S

READY, LOADING = ModelState("ready", "", 1), ModelState("loading", "", 0)


class Reader:
    """Serve's controller, which may hang or fail."""

    def __init__(self) -> None:
        self.reads = 0
        self.state = LOADING
        self.error: Exception | None = None
        self.answers = threading.Event()
        self.answers.set()

    def read(self) -> dict[str, ModelState]:
        self.reads += 1
        assert self.answers.wait(PATIENCE_S)
        if self.error is not None:
            raise self.error
        return {"small": self.state}


@pytest.fixture
def reader() -> Reader:
    return Reader()


async def test_many_ask_and_one_reads(reader: Reader) -> None:
    states = CurrentStates(reader)
    found = await asyncio.gather(*(states.known() for _ in range(20)), *(states.read() for _ in range(20)))
    assert all(each == {"small": LOADING} for each in found)
    assert reader.reads == 1


async def test_they_are_read_again_once_they_are_old(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    states = CurrentStates(reader)
    assert await states.known() == {"small": LOADING}
    reader.state = READY
    assert await states.known() == {"small": LOADING}
    monkeypatch.setattr(current_states, "MAX_AGE_S", 0.0)
    assert await states.known() == {"small": READY}


async def test_a_controller_that_hangs_is_waited_for_once(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(current_states, "PATIENCE_S", 0.05)
    states = CurrentStates(reader)
    await states.known()
    monkeypatch.setattr(current_states, "MAX_AGE_S", 0.0)
    reader.answers.clear()
    assert await states.known() == {"small": LOADING}
    began = time.monotonic()
    for _ in range(100):
        assert await states.known() == {"small": LOADING}
    assert time.monotonic() - began < 1  # not 100 times 0.05 s
    assert reader.reads == 2
    reader.state = READY
    reader.answers.set()
    assert await states.read() == {"small": READY}


async def test_a_failure_is_told_to_who_asks_for_it(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    states = CurrentStates(reader)
    await states.known()
    monkeypatch.setattr(current_states, "MAX_AGE_S", 0.0)
    reader.error = ConnectionError("no controller")
    assert await states.known() == {"small": LOADING}
    with pytest.raises(ConnectionError):
        await states.read()
    reader.error = None
    assert await states.read() == {"small": LOADING}
