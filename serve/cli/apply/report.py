"""The output of an apply: the plan and the summary."""

from collections import Counter
from collections.abc import Sequence

from rich.table import Table

from serve.cli.apply.changes import Change, Kind
from serve.routes import GATEWAY

_STYLES = {Kind.ADDED: "green", Kind.REMOVED: "red", Kind.UPGRADED: "yellow", Kind.RECONFIGURED: "cyan"}


def label(change: Change) -> str:
    """The kind of a change in one word."""
    return "replaced" if change.name == GATEWAY and change.kind is Kind.UPGRADED else str(change.kind)


def plan_table(changes: Sequence[Change]) -> Table:
    """The change of each model and of the gateway."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("model", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("changes", overflow="fold")
    for change in changes:
        details = "new list of models" if label(change) == "replaced" else "\n".join(change.details)
        table.add_row(change.name, f"[{_STYLES.get(change.kind, 'dim')}]{label(change)}[/]", details)
    return table


def summary(changes: Sequence[Change]) -> str:
    """`1 added, 2 upgraded`."""
    kinds = Counter(change.kind.value for change in changes if change.name != GATEWAY)
    counted = ", ".join(f"{kinds[kind]} {kind}" for kind in Kind if kind is not Kind.UNCHANGED and kinds[kind])
    return counted or "gateway replaced"
