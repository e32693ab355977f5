"""The dashboards: everything measured is on one of them, and Grafana's own types know every key."""

import json
import warnings
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins

from deployments.telemetry.metrics import METRICS
from serve.observability.dashboard import Dashboard
from serve.observability.dashboards import dashboards
from serve.observability.objectives import Objectives
from tests.serve.observability.expressions import found_in, of_dashboards

ALL = dashboards(Objectives())
register_default_plugins()

every_dashboard = pytest.mark.parametrize("dashboard", ALL, ids=lambda dashboard: dashboard.name)


with warnings.catch_warnings():  # it recommends the newer model, which Grafana before 13 does not read
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.models.dashboard import Dashboard as GrafanaDashboard


def as_grafana_reads_it(page: dict[str, Any]) -> Any:
    return json.loads(JSONEncoder().encode(GrafanaDashboard.from_json(json.loads(json.dumps(page)))))


def lost(before: Any, after: Any, path: str = "") -> list[str]:
    """What is not there any more, or differs."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [each for key in before for each in lost(before[key], after.get(key, "lost"), f"{path}.{key}")]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [each for i, pair in enumerate(zip(before, after, strict=True)) for each in lost(*pair, f"{path}[{i}]")]
    return [] if before == after else [path]


@every_dashboard
def test_the_file_is_json_with_a_line_for_each_panel(dashboard: Dashboard) -> None:
    assert json.loads(dashboard.text()) == dashboard.json()
    lines = dashboard.text().splitlines()
    for panel in dashboard.json()["panels"]:
        assert sum(line.startswith(f'{{"id": {panel["id"]},') for line in lines) == 1


@every_dashboard
def test_grafana_knows_every_key(dashboard: Dashboard) -> None:
    assert lost(dashboard.json(), as_grafana_reads_it(dashboard.json())) == []


def test_a_key_that_grafana_does_not_know_is_found() -> None:
    page = json.loads(ALL[0].text())
    page["panels"][1]["fieldConfig"]["defaults"]["units"] = "s"
    page["panels"][1]["options"]["graphModes"] = "area"
    assert lost(page, as_grafana_reads_it(page)) == [
        ".panels[1].fieldConfig.defaults.units",
        ".panels[1].options.graphModes",
    ]


@every_dashboard
def test_panels_have_numbers_and_places_of_their_own(dashboard: Dashboard) -> None:
    panels = dashboard.json()["panels"]
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    covered = Counter(
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    )
    assert set(covered.values()) == {1}
    assert max(x for x, _ in covered) < 24
    assert all(after["gridPos"]["y"] >= before["gridPos"]["y"] for before, after in pairwise(panels))


@every_dashboard
def test_every_panel_says_what_it_shows(dashboard: Dashboard) -> None:
    for panel in dashboard.panels:
        assert panel.description.endswith(".")
        assert panel.unit
        assert all(query.legend for query in panel.queries)
    assert [variable["name"] for variable in dashboard.variables] == ["datasource", "job", "task", "model"]


def test_every_metric_is_on_a_dashboard() -> None:
    asked = {name for expression in of_dashboards() for name, _ in found_in(expression.text).selectors}
    for metric in METRICS:
        assert any(name.startswith(metric.exported_name) for name in asked), metric.name


def test_names_are_told_apart() -> None:
    assert len({dashboard.json()["uid"] for dashboard in ALL}) == len({d.title for d in ALL}) == len(ALL)
    for dashboard in ALL:
        for row in dashboard.rows:
            titles = [panel.title for panel in row.panels]
            assert len(set(titles)) == len(titles), titles
