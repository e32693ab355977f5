"""`automodel-serve render dashboards` and `render rules`: files for Grafana and Prometheus."""

from pathlib import Path
from typing import Annotated

import typer

from serve.observability.dashboards import dashboards
from serve.observability.objectives import Objectives
from serve.observability.rules import RUNBOOKS, as_text, prometheus_rule, rules

_defaults = Objectives()

Availability = Annotated[float, typer.Option(help="Objective: share of requests that are answered.")]
Fast = Annotated[float, typer.Option(help="Objective: share of answers within the time limit.")]
RequestTime = Annotated[float, typer.Option("--request", metavar="SECONDS", help="Time limit of an answer.")]
FirstTokenTime = Annotated[
    float,
    typer.Option("--first-token", metavar="SECONDS", help="Time limit of the first token of a generated answer."),
]


def render_dashboards(
    folder: Annotated[Path, typer.Argument(help="Output folder; one file per dashboard.", show_default=False)],
    availability: Availability = _defaults.availability,
    fast: Fast = _defaults.fast,
    request_s: RequestTime = _defaults.request_s,
    first_token_s: FirstTokenTime = _defaults.first_token_s,
) -> None:
    """Write Grafana dashboards."""
    folder.mkdir(parents=True, exist_ok=True)
    for dashboard in dashboards(_objectives(availability, fast, request_s, first_token_s)):
        path = folder / f"{dashboard.name}.json"
        path.write_text(dashboard.text(), encoding="utf-8")
        typer.echo(path)


def render_rules(
    kubernetes: Annotated[
        bool, typer.Option("--kubernetes", help="As a PrometheusRule for the Prometheus operator.")
    ] = False,
    name: Annotated[str, typer.Option(help="Name of the PrometheusRule.")] = "automodel-serve",
    runbooks: Annotated[str, typer.Option(help="URL of docs/operations.md, for the alerts' links.")] = RUNBOOKS,
    availability: Availability = _defaults.availability,
    fast: Fast = _defaults.fast,
    request_s: RequestTime = _defaults.request_s,
    first_token_s: FirstTokenTime = _defaults.first_token_s,
) -> None:
    """Print Prometheus rules: recording rules and alerts."""
    objectives = _objectives(availability, fast, request_s, first_token_s)
    manifest = prometheus_rule(name, objectives, runbooks) if kubernetes else rules(objectives, runbooks)
    typer.echo(as_text(manifest), nl=False)


def _objectives(availability: float, fast: float, request_s: float, first_token_s: float) -> Objectives:
    try:
        return Objectives(availability, fast, request_s, first_token_s)
    except ValueError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
