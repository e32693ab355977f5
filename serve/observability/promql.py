"""PromQL from declared metrics: a name or a label that no declaration has is an error here, not an empty panel."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from deployments.telemetry.metrics import Metric

# What Prometheus itself puts on every series: two services are two jobs (and on Kubernetes, namespaces).
OF_TARGET = ("namespace", "job")
BY_MODEL = (*OF_TARGET, "model", "task")
BY_API = (*OF_TARGET, "api")

# Of a label: the values that match, or a regular expression, such as a variable of Grafana.
Where = Mapping[str, tuple[str, ...] | str]


@dataclass(frozen=True, slots=True)
class Expressions:
    """Makes expressions that have this in common.

    Attributes:
        window: over which rates are taken.
        where: what all series have to match, as far as their metrics have those labels.
    """

    window: str
    where: Where = field(default_factory=dict)

    def series(self, metric: Metric, where: Where | None = None, part: str = "") -> str:
        """The series of a metric.

        Args:
            metric: whose.
            where: what they have to match, too.
            part: of a histogram: `_bucket`, `_sum` or `_count`.
        """
        if (metric.kind == "histogram") != bool(part):
            raise ValueError(f"{metric.name} is a {metric.kind}: part {part!r}")
        common = {label: value for label, value in self.where.items() if label in labels_of(metric, part)}
        matchers = [_matcher(metric, part, *pair) for pair in (common | dict(where or {})).items()]
        return metric.exported_name + part + (f"{{{','.join(matchers)}}}" if matchers else "")

    def total(self, metric: Metric, by: tuple[str, ...], where: Where | None = None, function: str = "sum") -> str:
        """A gauge over all series that agree in these labels."""
        _check(metric, by)
        return _aggregate(function, by, self.series(metric, where))

    def over_time(
        self, function: str, metric: Metric, by: tuple[str, ...], where: Where | None = None, part: str = ""
    ) -> str:
        """What a function makes of each series over the window, and the sum of that."""
        _check(metric, by, part)
        return _aggregate("sum", by, f"{function}({self.series(metric, where, part)}[{self.window}])")

    def rate(self, metric: Metric, by: tuple[str, ...], where: Where | None = None, part: str = "") -> str:
        """A counter's growth a second: of each series, which shows where one began anew, and then the sum."""
        return self.over_time("rate", metric, by, where, part)

    def increase(self, metric: Metric, by: tuple[str, ...], where: Where | None = None, part: str = "") -> str:
        """A counter's growth over the window."""
        return self.over_time("increase", metric, by, where, part)

    def average(self, metric: Metric, by: tuple[str, ...]) -> str:
        """A gauge's mean over the window; the replicas' means together."""
        return self.over_time("avg_over_time", metric, by)

    def mean(self, metric: Metric, by: tuple[str, ...]) -> str:
        """Of what a histogram observed: sums before the quotient, so that every value counts alike."""
        return f"{self.rate(metric, by, part='_sum')} / {self.rate(metric, by, part='_count')}"

    def quantile(self, q: float, metric: Metric, by: tuple[str, ...]) -> str:
        return f"histogram_quantile({q:g}, {self.rate(metric, ('le', *by), part='_bucket')})"

    def share_above(self, metric: Metric, bound: float, by: tuple[str, ...]) -> str:
        """Of a histogram's values, those above one of its bounds."""
        if bound not in metric.buckets:
            bounds = ", ".join(f"{each:g}" for each in metric.buckets)
            raise ValueError(f"{metric.name} tells values apart at {bounds}, not at {bound:g}")
        below = self.rate(metric, by, {"le": (repr(float(bound)),)}, part="_bucket")
        return f"1 - {below} / {self.rate(metric, by, part='_count')}"


def labels_of(metric: Metric, part: str = "") -> tuple[str, ...]:
    """All labels of a metric's series."""
    of_replica = ("replica",) if metric.of_replica else ()
    return (*OF_TARGET, *metric.labels, *of_replica, *(("le",) if part == "_bucket" else ()))


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
