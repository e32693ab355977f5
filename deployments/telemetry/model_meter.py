"""ModelMeter: the observer that records the metrics of one model."""

from collections.abc import Callable

from deployments.errors import Overloaded
from deployments.telemetry import metrics
from deployments.telemetry.measurements import Answer, BatchReport, Load
from deployments.telemetry.meter import Meter
from deployments.telemetry.observer import Dropped, Observer, Outcome


class ModelMeter(Observer):
    """Measures one model.

    Args:
        model: its name.
        task: its task's name.

    Attributes:
        meter: the sums.
    """

    def __init__(self, model: str, task: str) -> None:
        self.meter = Meter(metrics.MODEL_METRICS, {"model": model, "task": task})
        self.meter.set(metrics.MODEL_READY, 0)

    def batch(self, report: BatchReport) -> None:
        self.meter.observe(metrics.BATCH_ROWS, report.rows)
        self.meter.observe(metrics.BATCH_COST, report.cost)
        self.meter.observe(metrics.BATCH_SECONDS, report.forward_s)
        self.meter.observe(metrics.PADDING, report.padding_ratio)

    def prompt(self, tokens: int, cached: int) -> None:
        self.meter.add(metrics.PROMPT_TOKENS, "cache", value=cached)
        self.meter.add(metrics.PROMPT_TOKENS, "forward", value=tokens - cached)

    def guessed(self, accepted: int, rejected: int) -> None:
        self.meter.add(metrics.GUESSED_TOKENS, "accepted", value=accepted)
        self.meter.add(metrics.GUESSED_TOKENS, "rejected", value=rejected)

    def split(self) -> None:
        self.meter.add(metrics.SPLITS)

    def out_of_memory(self) -> None:
        self.meter.add(metrics.OUT_OF_MEMORY)

    def dropped(self, reason: Dropped, rows: int) -> None:
        self.meter.add(metrics.ROWS_DROPPED, reason, value=rows)

    def answered(self, answer: Answer) -> None:
        observe, add = self.meter.observe, self.meter.add
        observe(metrics.QUEUE_SECONDS, answer.queue_s)
        observe(metrics.PREPROCESS_SECONDS, answer.preprocess_s)
        observe(metrics.FORWARD_SECONDS, answer.forward_s)
        observe(metrics.POSTPROCESS_SECONDS, answer.postprocess_s)
        add(metrics.ITEMS, value=answer.items)
        if answer.truncated:
            add(metrics.TRUNCATED, value=answer.truncated)
        if answer.tokens is not None:
            read, written = answer.tokens
            add(metrics.TOKENS, "in", value=read)
            add(metrics.TOKENS, "out", value=written or 0)
        if answer.pace is not None:
            observe(metrics.FIRST_TOKEN_SECONDS, answer.queue_s + answer.pace.first_token_s)
            if answer.pace.token_s is not None:
                observe(metrics.OUTPUT_TOKEN_SECONDS, answer.pace.token_s)

    def ended(self, outcome: Outcome, status: int, seconds: float) -> None:
        self.meter.add(metrics.REQUESTS, outcome)
        if outcome == "ok":
            self.meter.observe(metrics.REQUEST_SECONDS, seconds)
        elif status in metrics.REASONS:
            self.meter.add(metrics.REJECTED, metrics.REASONS[status])

    def refused_before(self, requests: int) -> None:
        self.meter.add(metrics.REQUESTS, "overloaded", value=requests)
        self.meter.add(metrics.REJECTED, Overloaded.error_type, value=requests)

    def stage(self, stage: str, seconds: float) -> None:
        self.meter.set(metrics.MODEL_LOAD_SECONDS, seconds, stage)

    def ready(self, memory_bytes: int) -> None:
        self.meter.set(metrics.MODEL_MEMORY, memory_bytes)
        self.meter.set(metrics.MODEL_READY, 1)
        self.meter.add(metrics.MODEL_LOADS, "ready")

    def failed_to_load(self) -> None:
        self.meter.add(metrics.MODEL_LOADS, "failed")

    def healthy(self, is_healthy: bool) -> None:
        self.meter.set(metrics.MODEL_READY, int(is_healthy))

    def canary(self, is_ok: bool) -> None:
        self.meter.add(metrics.CANARIES, "ok" if is_ok else "failed")

    def watch(self, in_flight: Callable[[], int], load: Callable[[], Load]) -> None:
        def measure() -> None:
            now = load()
            self.meter.set(metrics.IN_FLIGHT, in_flight())
            self.meter.set(metrics.WAITING_ROWS, now.waiting)
            self.meter.set(metrics.RUNNING_ROWS, now.running)
            if now.cache_used is not None:
                self.meter.set(metrics.KV_CACHE_USED, now.cache_used)

        self.meter.poll(measure)
