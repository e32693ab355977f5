"""Applies changes step by step, and rolls them back if a step fails."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from serve.cli.apply.changes import Change, Kind
from serve.cli.apply.steps import Step, rollback_steps


class Applications(Protocol):
    """The applications of a running service."""

    def deploy(self, changes: Sequence[Change]) -> None:
        """Start to deploy the desired state."""

    def delete(self, names: Iterable[str]) -> None:
        """Start to delete applications."""


# Starts a step with the given function and waits until it is done; returns why changes failed, by name.
Follow = Callable[[Step, Callable[[], None]], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of all changes.

    Attributes:
        failed: why changes failed, by name; empty if all succeeded.
        is_rolled_back: the other changes were rolled back as far as possible.
        rollback_failed: why some could not be rolled back.
    """

    failed: Mapping[str, str] = field(default_factory=dict)
    is_rolled_back: bool = False
    rollback_failed: Mapping[str, str] = field(default_factory=dict)


def execute(steps: Sequence[Step], applications: Applications, follow: Follow, follow_rollback: Follow) -> Outcome:
    """Apply all changes, or none.

    A removed model cannot come back without being loaded. So removals are the last step, and are not rolled back.

    Args:
        steps: in order.
        applications: that are changed.
        follow: waits for a step.
        follow_rollback: waits for a step that undoes another.
    """
    done: list[Step] = []
    for step in steps:
        done.append(step)
        failed = follow(step, lambda step=step: _start(step, applications))  # type: ignore[misc]
        if not failed:
            continue
        if all(change.kind is Kind.REMOVED for change in step):
            return Outcome(failed)
        stuck: dict[str, str] = {}
        for undo in rollback_steps(done):
            stuck |= follow_rollback(undo, lambda step=undo: _start(step, applications))  # type: ignore[misc]
        return Outcome(failed, is_rolled_back=True, rollback_failed=stuck)
    return Outcome()


def _start(step: Step, applications: Applications) -> None:
    if all(change.kind is Kind.REMOVED for change in step):
        applications.delete([change.name for change in step])
    else:
        applications.deploy(step)
