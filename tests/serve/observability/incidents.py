"""Made-up courses of metrics, and the alerts that they must and must not raise."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from deployments.telemetry import metrics
from deployments.telemetry.metrics import Metric

MODEL = {"namespace": "prod", "job": "automodel-serve", "model": "minilm", "task": "feature-extraction"}
DAYS = 1440  # minutes

Course = Sequence[tuple[float, int]]  # what is added a minute (a gauge: what it says), and for how many minutes
Series = dict[str, Course]


@dataclass(frozen=True, slots=True)
class Incident:
    """A course.

    Attributes:
        story: what happens.
        series: by their selectors.
        at: minute at which is looked.
        raised: names of the alerts that must fire then, with their windows; no other one may.
        step: minutes between two scrapes.
    """

    story: str
    series: Series
    at: int
    raised: frozenset[str]
    step: int = 1

    def __str__(self) -> str:
        return self.story


def _series(metric: Metric, part: str = "", **labels: str) -> str:
    inside = ",".join(f'{label}="{value}"' for label, value in (MODEL | labels).items())
    return f"{metric.exported_name}{part}{{{inside}}}"


def _requests(**courses: Course) -> Series:
    """Requests by outcome; of all outcomes there are series."""
    always = [(0.0, max(sum(minutes for _, minutes in course) for course in courses.values()))]
    return {
        _series(metrics.REQUESTS, outcome=outcome): courses.get(outcome, always) for outcome in metrics.OUTCOMES
    } | _up(always[0][1])


def _up(minutes: int) -> Series:
    """A service that is scraped, with a replica that is ready."""
    return {
        _series(metrics.BUILD_INFO, version="1"): [(1, minutes)],
        _series(metrics.MODEL_READY, replica="a"): [(1, minutes)],
    }


def _timed(metric: Metric, bound: float, in_time: Course, all_of_them: Course) -> Series:
    return {
        _series(metric, "_bucket", le=repr(bound)): in_time,
        _series(metric, "_bucket", le="+Inf"): all_of_them,
        _series(metric, "_count"): all_of_them,
    }


def _incident(story: str, series: Series, at: int, *raised: str, step: int = 1) -> Incident:
    minutes = max(sum(minutes for _, minutes in course) for course in series.values())
    absent = not any(metrics.BUILD_INFO.exported_name in name for name in series)
    return Incident(story, series | (_up(minutes) if absent else {}), at, frozenset(raised), step)


def incidents() -> Iterator[Incident]:
    """All of them."""
    yield from _errors()
    yield from _late()
    yield from _down()
    yield from _replicas()
    yield from _busy()
    yield from _wasteful()


def _errors() -> Iterator[Incident]:
    hour = partial(_incident, step=2)
    name, end = "AutomodelErrorBudgetBurn", 70
    fast = (f"{name} 1h", f"{name} 6h", f"{name} 1d", f"{name} 3d")  # what is spent in an hour is spent in a day
    yield hour("no request fails", _requests(ok=[(60, end)]), end)
    yield hour("3 % fail", _requests(ok=[(60, end)], error=[(2, end)]), end, *fast)
    yield hour("3 % expire", _requests(ok=[(60, end)], expired=[(2, end)]), end, *fast)
    yield hour("1 in 80 fails for an hour", _requests(ok=[(80, end)], error=[(1, end)]), end, *fast[1:])
    yield hour("1 in 2000 fails", _requests(ok=[(2000, end)], error=[(1, end)]), end)
    yield hour(
        "3 % failed until ten minutes ago",
        _requests(ok=[(60, 80)], error=[(2, 70), (0, 10)]),
        80,
        *fast[1:],
    )
    yield hour("half of very few fail", _requests(ok=[(0.1, end)], error=[(0.1, end)]), end)
    yield hour(
        "callers make mistakes and go away",
        _requests(ok=[(60, end)], client_error=[(60, end)], cancelled=[(60, end)]),
        end,
    )
    yield hour(
        "mistakes of callers do not hide failures",
        _requests(ok=[(60, end)], error=[(2, end)], client_error=[(600, end)]),
        end,
        *fast,
    )
    yield hour(
        "0.4 % fail for a day",
        _requests(ok=[(996, DAYS)], error=[(4, DAYS)]),
        DAYS,
        f"{name} 1d",
        f"{name} 3d",
        step=5,
    )
    yield hour(
        "0.2 % fail for three days",
        _requests(ok=[(998, 3 * DAYS)], error=[(2, 3 * DAYS)]),
        3 * DAYS,
        f"{name} 3d",
        step=10,
    )


def _late() -> Iterator[Incident]:
    hour = partial(_incident, step=2)
    windows = ("1h", "6h", "1d", "3d")
    late = [f"AutomodelLatencyBudgetBurn {window}" for window in windows]
    late_tokens = [f"AutomodelFirstTokenBudgetBurn {window}" for window in windows]
    answers, tokens, end = metrics.REQUEST_SECONDS, metrics.FIRST_TOKEN_SECONDS, 70
    slow = _timed(answers, 1.0, [(40, end)], [(60, end)])
    yield hour("a third of the answers is late", slow, end, *late)
    yield hour("1 in 200 answers is late", _timed(answers, 1.0, [(199, end)], [(200, end)]), end)
    written = _timed(tokens, 2.0, [(60, end)], [(60, end)])
    yield hour("written answers take long, their first tokens do not", slow | written, end)
    waiting = _timed(tokens, 2.0, [(40, end)], [(60, end)])
    yield hour("first tokens of written answers are late", slow | waiting, end, *late_tokens)


def _down() -> Iterator[Incident]:
    other = {'up{job="automodel-serve"}': [(0.0, 20)]}
    yield Incident("nothing is scraped", other, 10, frozenset(["AutomodelDown"]))
    yield Incident("nothing was scraped for four minutes", other, 4, frozenset())
    build = {_series(metrics.BUILD_INFO, version="1"): [(1.0, 20)]}
    ready = _series(metrics.MODEL_READY, replica="a")
    yield _incident("no replica is ready", build | {ready: [(1, 5), (0, 15)]}, 20, "AutomodelModelNotReady")
    yield _incident("a replica takes four minutes to load", build | {ready: [(0, 4), (1, 16)]}, 10)
    second = _series(metrics.MODEL_READY, replica="b")
    yield _incident("one of two replicas is ready", build | {ready: [(0, 20)], second: [(1, 20)]}, 20)
    good, bad = (_series(metrics.GATEWAY_REQUESTS, api="openai", code=code) for code in ("200", "503"))
    failing = {good: [(30, 20)], bad: [(10, 20)]}
    yield _incident("a quarter of one API is 503", failing, 20, "AutomodelGatewayFailing")
    yield _incident("1 in 100 is 503", {good: [(99, 20)], bad: [(1, 20)]}, 20)
    client = _series(metrics.GATEWAY_REQUESTS, api="openai", code="404")
    yield _incident("most is 404", {good: [(1, 20)], client: [(99, 20)]}, 20)


def _replicas() -> Iterator[Incident]:
    ready, failed = (_series(metrics.MODEL_LOADS, outcome=outcome) for outcome in ("ready", "failed"))
    yield _incident("the only replica is loaded 6 times an hour", {ready: [(0.1, 70)]}, 65, "AutomodelReplicaFlapping")
    yield _incident("a release and a scaling", {ready: [(0, 30), (1, 2), (0, 38)]}, 65)
    yield _incident("loads fail", {ready: [(0, 20)], failed: [(0, 5), (1, 3), (0, 12)]}, 12, "AutomodelLoadFailing")
    yield _incident("one load failed", {ready: [(0, 20)], failed: [(0, 5), (1, 1), (0, 14)]}, 12)
    fine, broken = (_series(metrics.CANARIES, outcome=outcome) for outcome in ("ok", "failed"))
    yield _incident(
        "a canary fails", {fine: [(1, 30)], broken: [(0, 10), (1, 1), (0, 19)]}, 15, "AutomodelCanaryFailing"
    )
    yield _incident("canaries answer", {fine: [(1, 30)], broken: [(0, 30)]}, 15)


def _busy() -> Iterator[Incident]:
    burn = [f"AutomodelErrorBudgetBurn {window}" for window in ("1h", "6h", "1d", "3d")]
    refusing = _requests(ok=[(60, 70)], overloaded=[(6, 70)])
    yield _incident("1 in 11 is refused", refusing, 70, "AutomodelRefusing", *burn)
    yield _incident("a burst was refused", _requests(ok=[(60, 40)], overloaded=[(0, 10), (8, 1), (0, 29)]), 40)
    line, whole = _series(metrics.QUEUE_SECONDS, "_sum"), _series(metrics.REQUEST_SECONDS, "_sum")
    waiting = _series(metrics.WAITING_ROWS, replica="a")
    queue = {line: [(40, 40)], whole: [(60, 40)], waiting: [(12, 40)]}
    yield _incident("two thirds of the time are in line", queue, 40, "AutomodelQueueing")
    yield _incident("short waits of a quick model", queue | {waiting: [(0, 40)]}, 40)
    yield _incident("a third of the time is in line", queue | {line: [(20, 40)]}, 40)
    cache = _series(metrics.KV_CACHE_USED, replica="a")
    yield _incident("rows wait for a full cache", {cache: [(0.97, 30)], waiting: [(5, 30)]}, 30, "AutomodelKVCacheFull")
    yield _incident("a full cache nobody waits for", {cache: [(0.97, 30)], waiting: [(0, 30)]}, 30)
    yield _incident("rows wait, the cache has room", {cache: [(0.5, 30)], waiting: [(5, 30)]}, 30)


def _wasteful() -> Iterator[Incident]:
    padding = {_series(metrics.PADDING, "_sum"): [(24.0, 130)], _series(metrics.PADDING, "_count"): [(60.0, 130)]}
    busy = {_series(metrics.BATCH_SECONDS, "_sum"): [(30.0, 130)]}
    yield _incident("two fifths are padding", padding | busy, 130, "AutomodelPaddingWaste", step=5)
    yield _incident(
        "padding of an idle model", padding | {_series(metrics.BATCH_SECONDS, "_sum"): [(1, 130)]}, 130, step=5
    )
    little = {_series(metrics.PADDING, "_sum"): [(6.0, 130)], _series(metrics.PADDING, "_count"): [(60.0, 130)]}
    yield _incident("a tenth is padding", little | busy, 130, step=5)
    memory = _series(metrics.OUT_OF_MEMORY)
    yield _incident("memory ran out once", {memory: [(0, 10), (1, 1), (0, 20)]}, 30, "AutomodelOutOfMemory")
    yield _incident("memory never ran out", {memory: [(0, 31)]}, 30)
