"""docs/metrics.md says what is declared, and its expressions name what there is."""

import re
from pathlib import Path

from deployments.telemetry.metrics import METRICS
from serve.gateway.metrics_reference import reference, updated

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"


def test_the_page_has_the_tables_as_they_are_now() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert reference() in page, "run `python -m serve.gateway.metrics_reference docs/metrics.md`"
    assert updated(page) == page


def test_every_metric_is_in_the_tables() -> None:
    tables = reference()
    assert all(tables.count(f"`{metric.exported_name}`") == 1 for metric in METRICS)


def test_expressions_name_metrics_that_exist() -> None:
    names = {metric.exported_name for metric in METRICS}
    named = set(re.findall(r"ray_automodel_\w*[a-z]", PAGE.read_text(encoding="utf-8")))
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in named} <= names
