"""All that came of a load test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from loadtests.load.records import Record
from loadtests.plan import Plan
from loadtests.report import machine
from loadtests.report.figures import Stretch
from loadtests.report.slo import Objectives, verdict
from loadtests.report.targets import Target


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was planned, what happened, and what it was held to.

    Attributes:
        service: what was asked, for people.
        machine: which the load came from; the service's as well where it was started for it.
    """

    plan: Plan
    objectives: Objectives
    stretches: Sequence[Stretch]
    records: Sequence[Record]
    service: str
    machine: Mapping[str, Any] = field(default_factory=machine.describe)

    @property
    def targets(self) -> list[Target]:
        return verdict(self.objectives, self.stretches)

    @property
    def broken(self) -> list[Target]:
        return [target for target in self.targets if not target.is_met]
