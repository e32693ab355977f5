"""The table: a line for each model, as many columns as there is room for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from serve.cli.top.model_row import ModelRow

NOTHING = "–"
_COLOURS = {"ready": "green", "idle": "cyan", "failed": "bold red"}


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        heading: above it.
        cell: what it says of a model.
        goes: when it gives way where there is no room for all: the highest first, and 0 never.
    """

    heading: str
    cell: Callable[[ModelRow], str | Text]
    goes: int = 0


def _state(row: ModelRow) -> Text:
    return Text(row.state, _COLOURS.get(row.state.partition(" ")[0], "yellow"))


def _short(value: float) -> str:
    if not value:
        return "0"
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def _milliseconds(seconds: float | None) -> str:
    return NOTHING if seconds is None else f"{seconds * 1e3:,.1f}" if seconds < 0.1 else f"{seconds * 1e3:,.0f}"


def _share(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.0%}"


_WORDS = (
    Column("model", lambda row: row.model),
    Column("task", lambda row: row.task, goes=7),
    Column("state", _state, goes=1),
)
_NUMBERS = (
    Column("repl.", lambda row: str(row.replicas), goes=5),
    Column("req/s", lambda row: _short(row.requests)),
    Column("p50 ms", lambda row: _milliseconds(row.p50), goes=2),
    Column("p99 ms", lambda row: _milliseconds(row.p99)),
    Column("queue", lambda row: _share(row.queue_share), goes=3),
    Column("rows", lambda row: NOTHING if row.batch_rows is None else f"{row.batch_rows:.1f}", goes=4),
    Column("padding", lambda row: _share(row.padding), goes=6),
    Column("waiting", lambda row: f"{row.waiting:,.0f}"),
    Column("tok/s in", lambda row: _short(row.tokens_in), goes=9),
    Column("tok/s out", lambda row: _short(row.tokens_out), goes=8),
    Column("rejected/s", lambda row: Text(_short(row.rejected), "red" if row.rejected else "")),
)


def drawn(rows: Sequence[ModelRow], title: str, notes: Sequence[str], width: int) -> Table:
    """The models in their order.

    Args:
        rows: of the models.
        title: above them.
        notes: below them.
        width: of the terminal, in letters.
    """
    most = max(column.goes for column in (*_WORDS, *_NUMBERS))
    for left in range(most, 0, -1):
        table = _table(rows, title, notes, left)
        if Console(width=1000).measure(table).maximum <= width:
            return table
    return _table(rows, title, notes, 0)


def _table(rows: Sequence[ModelRow], title: str, notes: Sequence[str], left: int) -> Table:
    """Without the columns that give way before those of `left` do."""
    table = Table(box=None, pad_edge=False, header_style="bold", title=title, title_justify="left")
    table.caption, table.caption_justify = Text("\n".join(notes)) if notes else None, "left"
    words, numbers = ([column for column in columns if column.goes <= left] for columns in (_WORDS, _NUMBERS))
    for column in words:
        table.add_column(column.heading, no_wrap=True)
    for column in numbers:
        table.add_column(column.heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*(column.cell(row) for column in (*words, *numbers)))
    return table
