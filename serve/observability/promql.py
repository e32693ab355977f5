"""PromQL from declared metrics: an undeclared name or label is an error here, not an empty panel."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from deployments.telemetry.metrics import Metric

# Labels that Prometheus adds to every series: services differ in job (and on Kubernetes, namespace).
TARGET_LABELS = ("namespace", "job")
BY_MODEL = (*TARGET_LABELS, "model", "task")
BY_API = (*TARGET_LABELS, "api")

# By label: the values that match, or a regular expression, such as a Grafana variable.
Where = Mapping[str, tuple[str, ...] | str]


@dataclass(frozen=True, slots=True)
class Expressions:
    """Builds expressions with a common window and common matchers.

    Attributes:
        window: of rates.
        where: matchers of all series, for those labels that a metric has.
    """

    window: str
    where: Where = field(default_factory=dict)

    def series(self, metric: Metric, where: Where | None = None, part: str = "") -> str:
        """The series of a metric.

        Args:
            metric: to select.
            where: additional matchers.
            part: of a histogram: `_bucket`, `_sum` or `_count`.
        """
        if (metric.kind == "histogram") != bool(part):
            raise ValueError(f"{metric.name} is a {metric.kind}: part {part!r}")
        common = {label: value for label, value in self.where.items() if label in labels_of(metric, part)}
        matchers = [_matcher(metric, part, *pair) for pair in (common | dict(where or {})).items()]
        return metric.exported_name + part + (f"{{{','.join(matchers)}}}" if matchers else "")

    def total(self, metric: Metric, by: tuple[str, ...], where: Where | None = None, function: str = "sum") -> str:
        """A gauge, aggregated by these labels."""
        _check(metric, by)
        return _aggregate(function, by, self.series(metric, where))

    def over_time(
        self, function: str, metric: Metric, by: tuple[str, ...], where: Where | None = None, part: str = ""
    ) -> str:
        """A function over the window of each series, summed by these labels."""
        _check(metric, by, part)
        return _aggregate("sum", by, f"{function}({self.series(metric, where, part)}[{self.window}])")

    def rate(self, metric: Metric, by: tuple[str, ...], where: Where | None = None, part: str = "") -> str:
        """A counter's rate per second: of each series, so that resets are detected, and then summed."""
        return self.over_time("rate", metric, by, where, part)

    def increase(self, metric: Metric, by: tuple[str, ...], where: Where | None = None, part: str = "") -> str:
        """A counter's increase over the window."""
        return self.over_time("increase", metric, by, where, part)

    def average(self, metric: Metric, by: tuple[str, ...]) -> str:
        """A gauge's mean over the window, summed over replicas."""
        return self.over_time("avg_over_time", metric, by)

    def mean(self, metric: Metric, by: tuple[str, ...]) -> str:
        """A histogram's mean: the quotient of sums, so that every value has the same weight."""
        return f"{self.rate(metric, by, part='_sum')} / {self.rate(metric, by, part='_count')}"

    def quantile(self, q: float, metric: Metric, by: tuple[str, ...]) -> str:
        return f"histogram_quantile({q:g}, {self.rate(metric, ('le', *by), part='_bucket')})"

    def share_above(self, metric: Metric, bound: float, by: tuple[str, ...]) -> str:
        """The share of a histogram's values above one of its bounds."""
        if bound not in metric.buckets:
            bounds = ", ".join(f"{each:g}" for each in metric.buckets)
            raise ValueError(f"{metric.name} has the bounds {bounds}, not {bound:g}")
        below = self.rate(metric, by, {"le": (repr(float(bound)),)}, part="_bucket")
        return f"1 - {below} / {self.rate(metric, by, part='_count')}"


def labels_of(metric: Metric, part: str = "") -> tuple[str, ...]:
    """All labels of a metric's series."""
    of_replica = ("replica",) if metric.of_replica else ()
    return (*TARGET_LABELS, *metric.labels, *of_replica, *(("le",) if part == "_bucket" else ()))


def _aggregate(function: str, by: tuple[str, ...], series: str) -> str:
    return f"{function} by ({', '.join(by)}) ({series})" if by else f"{function}({series})"


def _check(metric: Metric, labels: tuple[str, ...], part: str = "") -> None:
    for label in labels:
        if label not in labels_of(metric, part):
            raise ValueError(f"{metric.name}{part} has no label {label!r}")


def _matcher(metric: Metric, part: str, label: str, value: tuple[str, ...] | str) -> str:
    _check(metric, (label,), part)
    if isinstance(value, str):
        return f'{label}=~"{value}"'
    known = metric.values.get(label, ())
    for each in value:
        if known and each not in known:
            raise ValueError(f"{metric.name}: {label} is never {each!r}")
    return f'{label}="{value[0]}"' if len(value) == 1 else f'{label}=~"{"|".join(value)}"'
