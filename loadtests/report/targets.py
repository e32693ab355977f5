"""Targets of the benchmarks. They are printed, never asserted: a busy machine must not fail a test."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """A measured value and its bound.

    Attributes:
        name: of the value.
        wanted: the bound.
        measured: the value.
        at_most: whether the bound is an upper bound.
    """

    name: str
    wanted: float
    measured: float
    at_most: bool = False

    @property
    def is_met(self) -> bool:
        if math.isnan(self.measured):
            return False
        return self.measured <= self.wanted if self.at_most else self.measured >= self.wanted

    @property
    def missed_by(self) -> float:
        """Distance to the bound as a share of it; 0 if the target is met."""
        if self.is_met:
            return 0.0
        return abs(self.measured / self.wanted - 1) if self.wanted else math.inf

    @property
    def bound(self) -> str:
        return f"{'<=' if self.at_most else '>='} {self.wanted:g}"
