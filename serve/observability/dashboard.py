"""Dashboard: rows of panels, in Grafana's classic JSON model, which every version of Grafana imports."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from serve.observability.panel import WIDTH, Panel

TAG = "automodel-serve"
SCHEMA = 42  # of the JSON, of Grafana 12; later ones migrate it when they load it


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a heading, from left to right."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A page.

    Attributes:
        name: of its file, and in its URL.
        title: its heading.
        description: one sentence.
        variables: its drop-down lists.
        rows: its panels.
    """

    name: str
    title: str
    description: str
    variables: Sequence[dict[str, Any]]
    rows: Sequence[Row]

    @property
    def panels(self) -> list[Panel]:
        return [panel for row in self.rows for panel in row.panels]

    def json(self) -> dict[str, Any]:
        """Grafana's JSON."""
        return {
            "uid": f"automodel-{self.name}",
            "title": self.title,
            "description": self.description,
            "tags": [TAG],
            "schemaVersion": SCHEMA,
            "editable": True,
            "graphTooltip": 1,  # shared crosshair
            "fiscalYearStartMonth": 0,
            "timezone": "browser",
            "time": {"from": "now-1h", "to": "now"},
            "timepicker": {},
            "refresh": "30s",
            "annotations": {"list": []},
            "links": [_others()],
            "templating": {"list": list(self.variables)},
            "panels": list(self._placed()),
        }

    def text(self) -> str:
        """The file, with a line for each panel, so that a change of one is a change of one line."""
        return "{\n" + ",\n".join(f'"{key}": {_lines(value)}' for key, value in self.json().items()) + "\n}\n"

    def _placed(self) -> Iterator[dict[str, Any]]:
        """Panels with positions; a panel that does not fit into a line begins a new one."""
        number, y = 1, 0
        for row in self.rows:
            yield _heading(row.title, number, y)
            number, x, y, tallest = number + 1, 0, y + 1, 0
            for panel in row.panels:
                if x + panel.width > WIDTH:
                    x, y, tallest = 0, y + tallest, 0
                yield panel.json(number, x, y)
                number, x, tallest = number + 1, x + panel.width, max(tallest, panel.height)
            y += tallest


def _lines(value: Any) -> str:
    """JSON; of a list each item is on a line of its own."""
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(json.dumps(each, ensure_ascii=False) for each in value) + "\n]"
    return json.dumps(value, ensure_ascii=False)


def _heading(title: str, number: int, y: int) -> dict[str, Any]:
    place = {"h": 1, "w": WIDTH, "x": 0, "y": y}
    return {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []}


def _others() -> dict[str, Any]:
    """Links to the other dashboards, with the same variables."""
    return {
        "type": "dashboards",
        "title": "automodel-serve",
        "tooltip": "",
        "icon": "external link",
        "url": "",
        "tags": [TAG],
        "asDropdown": True,
        "targetBlank": False,
        "includeVars": True,
        "keepTime": True,
    }
