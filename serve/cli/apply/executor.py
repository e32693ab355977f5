"""Applying: makes changes one step after the other, and takes them back where one does not succeed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from serve.cli.apply.changes import Change, Kind
from serve.cli.apply.steps import Step, rollback_steps


class Deployed(Protocol):
    """The applications of a service, as they are changed."""

    def deploy(self, changes: Sequence[Change]) -> None:
        """Begin to bring up what shall be."""

    def delete(self, names: Iterable[str]) -> None:
        """Begin to end applications."""


# Waits until some changes are done, which the function in the second place begins; the reasons of those that failed.
Follow = Callable[[Step, Callable[[], None]], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the changes.

    Attributes:
        failed: why some were not made; empty where all were.
        is_taken_back: the others were taken back, so far as was possible.
        stuck: why some could not be.
    """

    failed: Mapping[str, str] = field(default_factory=dict)
    is_rolled_back: bool = False
    stuck: Mapping[str, str] = field(default_factory=dict)


def apply(steps: Sequence[Step], deployed: Deployed, follow: Follow, rollback: Follow) -> Outcome:
    """Make all changes, or none.

    A model that is taken away cannot come back without being loaded: those steps are the last ones, and stay.

    Args:
        steps: in order.
        deployed: where they are made.
        follow: waits for a step.
        take_back: waits for a step that undoes another.
    """
    made: list[Step] = []
    for step in steps:
        made.append(step)
        failed = follow(step, lambda step=step: _make(step, deployed))  # type: ignore[misc]
        if not failed:
            continue
        if all(change.kind is Kind.REMOVED for change in step):
            return Outcome(failed)
        stuck: dict[str, str] = {}
        for undone in rollback_steps(made):
            stuck |= rollback(undone, lambda step=undone: _make(step, deployed))  # type: ignore[misc]
        return Outcome(failed, is_rolled_back=True, stuck=stuck)
    return Outcome()


def _make(step: Step, deployed: Deployed) -> None:
    if all(change.kind is Kind.REMOVED for change in step):
        deployed.delete([change.name for change in step])
    else:
        deployed.deploy(step)
