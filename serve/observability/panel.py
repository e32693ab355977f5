"""Panel: one panel of a dashboard, in Grafana's JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

WIDTH = 24  # of a dashboard, in Grafana's columns
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
GOOD, BAD = "green", "red"


@dataclass(frozen=True, slots=True)
class Query:
    """A PromQL expression, and the legend of its series (`{{label}}` for a label's value)."""

    expression: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel.

    Attributes:
        title: its heading.
        description: shown on hover.
        unit: Grafana's name of the unit.
        queries: whose results are shown.
        kind: lines over time, the latest value, or a distribution over time.
        stack: whether lines are stacked; `percent`: as shares of their sum.
        threshold: values above it are bad.
        max_value: upper end of the scale.
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
    max_value: float | None = None
    width: int = 8
    height: int = 8

    def json(self, number: int, x: int, y: int) -> dict[str, Any]:
        """Grafana's JSON, at a position of its dashboard."""
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
        scale = {"min": 0, "max": self.max_value} if self.max_value is not None else {"min": 0}
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
