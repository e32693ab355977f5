"""How far a change is, by what Serve and the replicas say."""

import pytest

from deployments.replica.stages import ModelStage
from serve.cli.apply.changes import Change
from serve.cli.apply.readiness import NO_ROOM_S, ApplicationStatus, ChangeReader
from serve.cluster.states import ModelState
from tests.serve.cli.apply.parts import changes, running, service

UPGRADE, ADDITION, REMOVAL = (
    changes(running(service({"name": "a"}, {"name": "b"})), service({"name": "a", "max_length": 64}, {"name": "c"}))[
        name
    ]
    for name in "acb"
)
MORE = changes(running(service({"name": "a"})), service({"name": "a", "replicas": {"min": 2, "max": 2}}))["a"]


class Watched:
    """What the reader of one change is told."""

    def __init__(self, change: Change, before: ApplicationStatus | None, said: ModelStage | None = None) -> None:
        self.name = change.name
        self.seen = before
        self.stage = said
        self.obstacle = ""
        self.now = 0.0
        self.reader = ChangeReader(
            [change],
            statuses=lambda: {self.name: self.seen} if self.seen else {},
            stage=lambda name: self.stage,
            obstacle=lambda change: self.obstacle,
            timeout_s=100,
            clock=lambda: self.now,
        )

    def says(self, seen: ApplicationStatus | None, stage: str = "", detail: str = "") -> tuple[str, str]:
        self.seen = seen
        if stage:
            self.stage = ModelStage(stage, detail, 2.0)
        state: ModelState = self.reader.read()[self.name]
        return state.state, state.detail


def seen(status: str, message: str = "", **replicas: str) -> ApplicationStatus:
    return ApplicationStatus(status, message, replicas)


def test_an_upgrade_is_ready_when_the_new_replica_has_taken_the_place_of_the_old() -> None:
    watched = Watched(UPGRADE, seen("RUNNING", old="RUNNING"))
    assert watched.says(seen("DEPLOYING", old="RUNNING")) == ("waiting", "")
    assert watched.says(seen("DEPLOYING", old="RUNNING", new="STARTING"), "loading") == ("loading", "")
    assert watched.says(seen("DEPLOYING", old="RUNNING", new="STARTING"), "ready") == ("warming", "")
    assert watched.says(seen("DEPLOYING", old="STOPPING", new="RUNNING")) == ("leaving", "")
    assert watched.says(seen("RUNNING", new="RUNNING")) == ("ready", "")


def test_an_upgrade_that_scales_meanwhile_is_not_ready_before_the_old_has_gone() -> None:
    watched = Watched(UPGRADE, seen("RUNNING", old="RUNNING"))
    assert watched.says(seen("RUNNING", old="RUNNING", new="STARTING"), "loading") == ("loading", "")


def test_a_replica_that_does_not_load_says_why() -> None:
    watched = Watched(UPGRADE, seen("RUNNING", old="RUNNING"))
    assert watched.says(seen("DEPLOYING", old="RUNNING", new="STARTING"), "failed", "no head") == ("failed", "no head")


def test_one_that_cannot_say_it_has_its_stack_trace_read() -> None:
    watched = Watched(UPGRADE, seen("RUNNING", old="RUNNING"))
    trace = "The deployment failed to start.\n  File x\nRuntimeError: port 8001 is in use\n"
    assert watched.says(seen("DEPLOY_FAILED", trace, old="RUNNING")) == ("failed", "RuntimeError: port 8001 is in use")


def test_a_failure_of_long_ago_is_none_of_this_change() -> None:
    watched = Watched(UPGRADE, seen("RUNNING", old="RUNNING"), said=ModelStage("failed", "long ago", 1.0))
    assert watched.says(seen("DEPLOYING", old="RUNNING")) == ("waiting", "")


def test_an_added_model_may_have_no_replica_until_somebody_asks() -> None:
    watched = Watched(ADDITION, None)
    assert watched.says(None) == ("waiting", "")
    assert watched.says(seen("RUNNING")) == ("idle", "")


def test_more_replicas() -> None:
    watched = Watched(MORE, seen("RUNNING", one="RUNNING"))
    assert watched.says(seen("DEPLOYING", one="RUNNING", two="STARTING")) == ("warming", "")
    assert watched.says(seen("RUNNING", one="RUNNING", two="RUNNING")) == ("ready", "")


def test_a_removed_model() -> None:
    watched = Watched(REMOVAL, seen("RUNNING", one="RUNNING"))
    assert watched.says(seen("DELETING", one="STOPPING")) == ("leaving", "")
    assert watched.says(None) == ("gone", "")


def test_a_place_is_waited_for_but_not_for_ever() -> None:
    watched = Watched(UPGRADE, seen("RUNNING", old="RUNNING"))
    watched.obstacle = "asks for 1 GPU; free are 0 GPU"
    waits = seen("DEPLOYING", old="RUNNING", new="STARTING")
    assert watched.says(waits) == ("waiting", watched.obstacle)
    watched.now = NO_ROOM_S + 1
    assert watched.says(waits) == ("failed", watched.obstacle)


@pytest.mark.parametrize(
    ("stage", "reason"), [("loading", "still loading"), ("downloading", "still downloading: 1 GB")]
)
def test_no_change_takes_for_ever(stage: str, reason: str) -> None:
    watched = Watched(UPGRADE, seen("RUNNING", old="RUNNING"))
    watched.now = 101
    told = watched.says(seen("DEPLOYING", old="RUNNING"), stage, "1 GB" if stage == "downloading" else "")
    assert told == ("failed", f"not done after 100 s, {reason}")
