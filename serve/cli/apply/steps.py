"""The order in which changes are made, and how each is taken back: pure functions of the differences."""

from collections.abc import Iterator, Sequence

from serve.cli.apply.changes import Change, Kind
from serve.routes import GATEWAY

Step = tuple[Change, ...]  # changes that are made at once


def steps(changes: Sequence[Change]) -> list[Step]:
    """First what may fail, and last what cannot be taken back.

    New models come first, all at once. Models with new replicas follow one by one, so that the nodes need room for one
    replica more and not for one of each. The gateway comes before models are taken away, so that it names none that
    is gone; and it answers for a path from the moment in which the model leaves that had it.
    """
    models = [change for change in changes if change.name != GATEWAY]
    gateway = [change for change in changes if change.name == GATEWAY and change.kind is not Kind.UNCHANGED]
    ordered = [
        _of(models, Kind.ADDED),
        *((change,) for change in _of(models, Kind.UPGRADED)),
        _of(models, Kind.RECONFIGURED),
        tuple(gateway),
        _of(models, Kind.REMOVED),
    ]
    return [step for step in ordered if step]


def rollback_steps(made: Sequence[Step]) -> Iterator[Step]:
    """The steps that undo those that were made, the last one first, and each change by itself."""
    for step in reversed(made):
        yield from ((_inverse(change),) for change in reversed(step))


def _of(changes: Sequence[Change], kind: Kind) -> Step:
    return tuple(change for change in changes if change.kind is kind)


def _inverse(change: Change) -> Change:
    if change.before is None:
        return Change(change.name, Kind.REMOVED, None, None)
    return Change(change.name, Kind.RECONFIGURED, change.before, change.before.app)
