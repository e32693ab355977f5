"""Sizes of what people send: many small ones and a few large ones."""

import math
import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LogNormal:
    """A log-normal distribution between two bounds.

    Attributes:
        median: half of what is drawn lies below.
        spread: standard deviation of the logarithm.
        least: what would be below becomes this.
        most: what would be above becomes this.
    """

    median: float
    spread: float
    least: float
    most: float

    def draw(self, draw: random.Random) -> float:
        return min(max(draw.lognormvariate(math.log(self.median), self.spread), self.least), self.most)

    def count(self, draw: random.Random) -> int:
        """A whole number, such as of words."""
        return round(self.draw(draw))
