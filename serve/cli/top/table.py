"""The table: a line for each model, with as many columns as fit."""

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
        heading: of the column.
        cell: its content for a model.
        drop_priority: columns with the highest are dropped first if the table is too wide; 0 is never dropped.
    """

    heading: str
    cell: Callable[[ModelRow], str | Text]
    drop_priority: int = 0


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


_TEXT_COLUMNS = (
    Column("model", lambda row: row.model),
    Column("task", lambda row: row.task, drop_priority=7),
    Column("state", _state, drop_priority=1),
)
_NUMBER_COLUMNS = (
    Column("repl.", lambda row: str(row.replicas), drop_priority=5),
    Column("req/s", lambda row: _short(row.requests)),
    Column("p50 ms", lambda row: _milliseconds(row.p50), drop_priority=2),
    Column("p99 ms", lambda row: _milliseconds(row.p99)),
    Column("queue", lambda row: _share(row.queue_share), drop_priority=3),
    Column("rows", lambda row: NOTHING if row.batch_rows is None else f"{row.batch_rows:.1f}", drop_priority=4),
    Column("padding", lambda row: _share(row.padding), drop_priority=6),
    Column("waiting", lambda row: f"{row.waiting:,.0f}"),
    Column("tok/s in", lambda row: _short(row.tokens_in), drop_priority=9),
    Column("tok/s out", lambda row: _short(row.tokens_out), drop_priority=8),
    Column("rejected/s", lambda row: Text(_short(row.rejected), "red" if row.rejected else "")),
)


def models_table(rows: Sequence[ModelRow], title: str, notes: Sequence[str], width: int) -> Table:
    """The table of all models.

    Args:
        rows: of the models.
        title: above the table.
        notes: below the table.
        width: of the terminal, in characters.
    """
    highest = max(column.drop_priority for column in (*_TEXT_COLUMNS, *_NUMBER_COLUMNS))
    for priority in range(highest, 0, -1):
        table = _table(rows, title, notes, priority)
        if Console(width=1000).measure(table).maximum <= width:
            return table
    return _table(rows, title, notes, 0)


def _table(rows: Sequence[ModelRow], title: str, notes: Sequence[str], max_priority: int) -> Table:
    """The table without columns of a higher drop priority."""
    table = Table(box=None, pad_edge=False, header_style="bold", title=title, title_justify="left")
    table.caption, table.caption_justify = Text("\n".join(notes)) if notes else None, "left"
    texts, numbers = (
        [column for column in columns if column.drop_priority <= max_priority]
        for columns in (_TEXT_COLUMNS, _NUMBER_COLUMNS)
    )
    for column in texts:
        table.add_column(column.heading, no_wrap=True)
    for column in numbers:
        table.add_column(column.heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*(column.cell(row) for column in (*texts, *numbers)))
    return table
