"""What was aimed at and what was measured. Printed, never asserted: a crowded machine must not fail a test."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """One figure and where it should lie.

    Attributes:
        name: what is measured.
        wanted: the bound.
        measured: the figure.
        at_most: whether the bound is an upper one.
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
        """How far the figure is on the wrong side, as a share of the bound; 0 where it is met."""
        if self.is_met:
            return 0.0
        return abs(self.measured / self.wanted - 1) if self.wanted else math.inf

    @property
    def bound(self) -> str:
        return f"{'<=' if self.at_most else '>='} {self.wanted:g}"
