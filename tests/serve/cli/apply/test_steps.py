"""In which order changes are made, and that none is left when one fails."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from serve.cli.apply.changes import Change
from serve.cli.apply.executor import Outcome, execute
from serve.cli.apply.steps import Step, steps
from tests.serve.cli.apply.parts import changes, running, service

BEFORE = running(
    service(*({"name": name} for name in ("same", "gone", "up1", "up2", "more")), {"name": "m", "task": "fill-mask"})
)
WANTED = service(
    {"name": "same"},
    {"name": "up1", "max_length": 64},
    {"name": "up2", "max_length": 64},
    {"name": "more", "replicas": {"max": 2}},
    {"name": "new1"},
    {"name": "new2"},
)
PLANNED = steps(list(changes(BEFORE, WANTED).values()))


class Recorded:
    """Takes changes, and remembers them in words; `follow` says that some failed."""

    def __init__(self, *failing: str) -> None:
        self.failing = failing
        self.made: list[str] = []

    def deploy(self, changes: Sequence[Change]) -> None:
        self.made.append("deploy " + " ".join(_words(change) for change in changes))

    def delete(self, names: Iterable[str]) -> None:
        self.made.append("delete " + " ".join(names))

    def follow(self, step: Step, begin: Callable[[], None]) -> Mapping[str, str]:
        begin()
        return {change.name: "bad weights" for change in step if change.name in self.failing}

    def rollback(self, step: Step, begin: Callable[[], None]) -> Mapping[str, str]:
        begin()
        return {}


def _words(change: Change) -> str:
    """A change's name, marked where it is as it was before."""
    is_old = change.before is not None and change.after == change.before.app
    return f"{change.name}(as it was, {change.kind})" if is_old else change.name


def test_nothing_to_do() -> None:
    assert steps(list(changes(BEFORE, BEFORE.service).values())) == []


def test_all_goes_well() -> None:
    recorded = Recorded()
    assert execute(PLANNED, recorded, recorded.follow, recorded.rollback) == Outcome()
    assert recorded.made == [
        "deploy new1 new2",
        "deploy up1",
        "deploy up2",
        "deploy more",
        "deploy gateway",
        "delete gone m",
    ]


def test_what_was_made_is_taken_back_in_reverse() -> None:
    recorded = Recorded("up2")
    outcome = execute(PLANNED, recorded, recorded.follow, recorded.rollback)
    assert outcome == Outcome({"up2": "bad weights"}, is_rolled_back=True)
    assert recorded.made[3:] == [
        "deploy up2(as it was, reconfigured)",
        "deploy up1(as it was, reconfigured)",
        "delete new2",
        "delete new1",
    ]


def test_what_cannot_be_taken_back_is_told() -> None:
    recorded = Recorded("gateway")
    outcome = execute(PLANNED, recorded, recorded.follow, lambda step, begin: {step[0].name: "no room"})
    assert outcome.failed == {"gateway": "bad weights"}
    assert set(outcome.rollback_failed) == {"gateway", "more", "up1", "up2", "new1", "new2"}


def test_a_model_that_does_not_leave_is_no_reason_to_take_the_others_back() -> None:
    recorded = Recorded("gone")
    outcome = execute(PLANNED, recorded, recorded.follow, recorded.rollback)
    assert outcome == Outcome({"gone": "bad weights"})
    assert recorded.made[-1] == "delete gone m"
