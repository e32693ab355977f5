"""The metrics reference in docs/metrics.md, from the declarations: `python -m serve.gateway.metrics_reference [PAGE]`.

Without a page, it prints the tables; otherwise it writes them into the page, between two marks.
"""

import re
import sys
from collections.abc import Iterable
from pathlib import Path

from deployments.telemetry.metrics import GATEWAY_METRICS, MODEL_METRICS, Metric

BEGIN, END = "<!-- metrics: begin -->", "<!-- metrics: end -->"
_BETWEEN = re.compile(f"(?<={BEGIN}\n).*(?={END})", re.DOTALL)


def reference() -> str:
    """The tables, as Markdown."""
    return f"### Of every model\n\n{_table(MODEL_METRICS)}\n### Of the gateway\n\n{_table(GATEWAY_METRICS)}"


def updated(page: str) -> str:
    """The page with current tables."""
    return _BETWEEN.sub(lambda _: reference(), page)


def _table(metrics: Iterable[Metric]) -> str:
    head = "| metric | kind | labels | what it says |\n| --- | --- | --- | --- |\n"
    return head + "".join(_row(metric) for metric in metrics)


def _row(metric: Metric) -> str:
    labels = [*metric.labels, *(["replica"] if metric.of_replica else [])]
    described = [f"`{label}`{_values(metric.values.get(label, ()))}" for label in labels]
    return f"| `{metric.exported_name}` | {metric.kind} | {', '.join(described)} | {metric.description} |\n"


def _values(values: Iterable[str]) -> str:
    listed = ", ".join(values)
    return f" ({listed})" if listed else ""


def main() -> None:
    if len(sys.argv) == 1:
        sys.stdout.write(reference())
        return
    page = Path(sys.argv[1])
    page.write_text(updated(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
