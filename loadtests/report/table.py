"""A table of measurements with notes and targets, on the terminal and as JSON."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from loadtests.report import machine
from loadtests.report.targets import Target

Cell = str | float | None


@dataclass(slots=True)
class TableReport:
    """The report of a benchmark.

    Attributes:
        benchmark: its name.
        settings: of this run.
        columns: headings; the first column names the row.
        rows: cells of the table.
        targets: compared with the measurements.
        notes: how to read the table.
        rounds: all measurements, by server.
        machine: that it ran on.
    """

    benchmark: str
    settings: dict[str, Any]
    columns: tuple[str, ...] = ()
    rows: list[tuple[Cell, ...]] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rounds: dict[str, Any] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=machine.describe)

    def show(self, console: Console) -> None:
        about = self.machine
        console.print(f"[bold]{self.benchmark}[/] on {about['cores']} cores, {about['cpu']}", highlight=False)
        console.print(_table(self.columns, self.rows))
        for note in self.notes:
            console.print(f"[dim]{note}[/]", highlight=False)
        if self.targets:
            console.print(_targets_table(self.targets))

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        targets = [_plain(target) | {"is_met": target.is_met, "missed_by": target.missed_by} for target in self.targets]
        document = _plain(self) | {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "rows": [dict(zip(self.columns, row, strict=True)) for row in self.rows],
            "targets": targets,
        }
        path.write_text(json.dumps(_plain(document), indent=2) + "\n")


def _table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left", no_wrap=not index)
    for row in rows:
        table.add_row(*(_text(cell) for cell in row))
    return table


def _targets_table(targets: Sequence[Target]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("target")
    for column in ("wanted", "measured", ""):
        table.add_column(column, justify="right")
    for target in targets:
        missed = "not reached" if math.isnan(target.measured) else f"missed by {target.missed_by:.0%}"
        verdict = "[green]ok[/]" if target.is_met else f"[red]{missed}[/]"
        table.add_row(target.name, target.bound, _text(target.measured), verdict)
    return table


def _text(cell: Cell) -> str:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, str):
        return cell
    if cell == int(cell) or abs(cell) >= 100:
        return f"{cell:,.0f}"
    return f"{cell:.3f}" if abs(cell) < 1 else f"{cell:.2f}" if abs(cell) < 10 else f"{cell:.1f}"


def _plain(value: Any) -> Any:
    """Dataclasses as dictionaries, and NaN, which JSON lacks, as null."""
    if is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value
