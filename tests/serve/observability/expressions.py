"""Every expression of the rules and the dashboards, and what promql-parser finds in it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import promql_parser

from serve.observability.dashboards import dashboards
from serve.observability.objectives import Objectives
from serve.observability.rules import rules

VARIABLES = {"$__rate_interval": "1m", "$job": ".+", "$task": ".+", "$model": ".+"}  # as Grafana would fill them in


@dataclass(frozen=True, slots=True)
class Expression:
    """One of them.

    Attributes:
        place: where it stands.
        text: PromQL, variables filled in.
        kind: recording, alert, panel or variable.
        legend: of a panel's line.
    """

    place: str
    text: str
    kind: str
    legend: str = ""

    def __str__(self) -> str:
        return self.place


@dataclass(slots=True)
class Found:
    """What an expression asks for.

    Attributes:
        selectors: of every metric its name and matchers: label, operator, value.
        grouped: of every aggregation its labels, and the names of the metrics below it.
        matched: labels of `on (...)`.
    """

    selectors: list[tuple[str, list[tuple[str, str, str]]]] = field(default_factory=list)
    grouped: list[tuple[list[str], list[str]]] = field(default_factory=list)
    matched: list[str] = field(default_factory=list)


def filled_in(text: str) -> str:
    for variable, value in VARIABLES.items():
        text = text.replace(variable, value)
    return text


def expressions() -> list[Expression]:
    return [*of_rules(), *of_dashboards()]


def of_rules() -> Iterator[Expression]:
    for group in rules(Objectives())["groups"]:
        for rule in group["rules"]:
            kind = "recording" if "record" in rule else "alert"
            name = rule.get("record") or f"{rule['alert']} {rule['labels'].get('window', '')}".strip()
            yield Expression(name, rule["expr"], kind)


def of_dashboards() -> Iterator[Expression]:
    for dashboard in dashboards(Objectives()):
        for panel in dashboard.panels:
            for query in panel.queries:
                place = f"{dashboard.name}: {panel.title}: {query.legend}"
                yield Expression(place, filled_in(query.expression), "panel", query.legend)
        for variable in dashboard.variables:
            if variable["type"] == "query":
                (series,) = re.findall(r"label_values\((.*), \w+\)", variable["query"])
                yield Expression(f"{dashboard.name}: ${variable['name']}", filled_in(series), "variable")


def found_in(text: str) -> Found:
    found = Found()

    def visit(node: promql_parser.Expr) -> bool:
        if isinstance(node, promql_parser.VectorSelector):
            assert node.name is not None
            matchers = [(each.name, str(each.op), each.value) for each in node.matchers.matchers]
            found.selectors.append((node.name, matchers))
        elif isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            below = found_in(node.expr.prettify())
            found.grouped.append((list(node.modifier.labels), [name for name, _ in below.selectors]))
        elif isinstance(node, promql_parser.BinaryExpr) and node.modifier is not None and node.modifier.matching:
            found.matched.extend(node.modifier.matching.labels)
        return True

    promql_parser.walk(promql_parser.parse(text), visit)
    return found
