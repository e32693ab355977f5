"""Panel: one picture of a dashboard, as Grafana's JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

WIDTH = 24  # of a dashboard, in Grafana's columns
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
GOOD, BAD = "green", "red"


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked, and what its lines are called (`{{label}}` for a label's value)."""

    expression: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """A picture.

    Attributes:
        title: above it.
        description: shown on its corner.
        unit: of its values, as Grafana calls it.
        queries: what is drawn.
        kind: a line over time, the latest value, or how values are distributed over time.
        stack: lines on top of each other; `percent`: as shares of their sum.
        threshold: from here on it is bad.
        most: upper end of the scale.
        width: in columns of 24.
        height: in Grafana's rows.
    """

    title: str
    description: str
    unit: str
    queries: Sequence[Query]
    kind: Literal["timeseries", "stat", "heatmap"] = "timeseries"
    stack: Literal["none", "normal", "percent"] = "none"
    threshold: float | None = None
    most: float | None = None
    width: int = 8
    height: int = 8

    def json(self, number: int, x: int, y: int) -> dict[str, Any]:
        """At a place of its dashboard."""
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": DATASOURCE,
            "gridPos": {"h": self.height, "w": self.width, "x": x, "y": y},
            "targets": [self._target(place, query) for place, query in enumerate(self.queries)],
            "fieldConfig": {"defaults": self._defaults(), "overrides": []},
            "options": _OPTIONS[self.kind],
        }

    def _target(self, place: int, query: Query) -> dict[str, Any]:
        heatmap = {"format": "heatmap"} if self.kind == "heatmap" else {}
        return {
            "refId": chr(ord("A") + place),
            "datasource": DATASOURCE,
            "expr": query.expression,
            "legendFormat": query.legend,
            "editorMode": "code",
            "range": True,
            "instant": False,
            **heatmap,
        }

    def _defaults(self) -> dict[str, Any]:
        steps: list[dict[str, Any]] = [{"color": GOOD, "value": None}]
        if self.threshold is not None:
            steps.append({"color": BAD, "value": self.threshold})
        scale = {"min": 0, "max": self.most} if self.most is not None else {"min": 0}
        shown = {"timeseries": self._lines(), "stat": {}, "heatmap": {}}[self.kind]
        color = {"mode": "palette-classic" if self.kind == "timeseries" else "thresholds"}
        thresholds = {"mode": "absolute", "steps": steps}
        return {"unit": self.unit, **scale, "color": color, "thresholds": thresholds, "custom": shown}

    def _lines(self) -> dict[str, Any]:
        stacked = self.stack != "none"
        return {
            "drawStyle": "line",
            "lineInterpolation": "linear",
            "lineWidth": 1,
            "fillOpacity": 60 if stacked else 10,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": self.stack, "group": "A"},
            "thresholdsStyle": {"mode": "off" if self.threshold is None else "dashed"},
        }


_OPTIONS: dict[str, dict[str, Any]] = {
    "timeseries": {
        "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {
        "colorMode": "value",
        "graphMode": "area",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": "auto",
        "wideLayout": True,
        "showPercentChange": False,
        "percentChangeColorMode": "standard",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    },
    "heatmap": {
        "calculate": False,
        "cellGap": 1,
        "color": {
            "mode": "scheme",
            "scheme": "Oranges",
            "steps": 64,
            "exponent": 0.5,
            "fill": "dark-orange",
            "reverse": False,
        },
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "showValue": "never",
        "rowsFrame": {"layout": "auto"},
        "tooltip": {"mode": "single", "yHistogram": False},
        "yAxis": {"axisPlacement": "left", "reverse": False},
    },
}
