"""The result of a load test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from loadtests.load.records import RequestRecord
from loadtests.plan import Plan
from loadtests.report import machine
from loadtests.report.slo import Objectives, evaluate
from loadtests.report.targets import Target
from loadtests.report.windows import WindowResult


@dataclass(frozen=True, slots=True)
class LoadTestResult:
    """The plan, the objectives, and the measurements.

    Attributes:
        service: a description of the service.
        machine: that the load was generated on; the service's as well, if it was started for the test.
    """

    plan: Plan
    objectives: Objectives
    windows: Sequence[WindowResult]
    records: Sequence[RequestRecord]
    service: str
    machine: Mapping[str, Any] = field(default_factory=machine.describe)

    @property
    def targets(self) -> list[Target]:
        return evaluate(self.objectives, self.windows)

    @property
    def missed(self) -> list[Target]:
        return [target for target in self.targets if not target.is_met]
