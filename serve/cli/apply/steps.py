"""The order in which changes are applied, and how they are rolled back: pure functions of the changes."""

from collections.abc import Iterator, Sequence

from serve.cli.apply.changes import Change, Kind
from serve.routes import GATEWAY

Step = tuple[Change, ...]  # changes that are applied at once


def steps(changes: Sequence[Change]) -> list[Step]:
    """First the changes that may fail, last those that cannot be rolled back.

    New models come first, all at once. Models with new replicas follow one by one, so that the nodes need room for one
    additional replica, not for one of each. The gateway comes before removals, so that it never lists a removed model;
    and it serves a removed model's path from the moment that the model is gone.
    """
    models = [change for change in changes if change.name != GATEWAY]
    gateway = [change for change in changes if change.name == GATEWAY and change.kind is not Kind.UNCHANGED]
    ordered = [
        _of_kind(models, Kind.ADDED),
        *((change,) for change in _of_kind(models, Kind.UPGRADED)),
        _of_kind(models, Kind.RECONFIGURED),
        tuple(gateway),
        _of_kind(models, Kind.REMOVED),
    ]
    return [step for step in ordered if step]


def rollback_steps(done: Sequence[Step]) -> Iterator[Step]:
    """The steps that undo these, the last one first, and each change on its own."""
    for step in reversed(done):
        yield from ((_inverse(change),) for change in reversed(step))


def _of_kind(changes: Sequence[Change], kind: Kind) -> Step:
    return tuple(change for change in changes if change.kind is kind)


def _inverse(change: Change) -> Change:
    if change.before is None:
        return Change(change.name, Kind.REMOVED, None, None)
    return Change(change.name, Kind.RECONFIGURED, change.before, change.before.app)
