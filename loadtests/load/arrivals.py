"""Arrival times of an open load: a Poisson process whose rate changes from phase to phase."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Phase:
    """A constant rate, in requests per second, for some seconds."""

    rate: float
    seconds: float


def arrival_times(phases: Sequence[Phase], seed: int) -> Iterator[float]:
    """Seconds since the start of the load. The same seed gives the same times."""
    rng, began = random.Random(seed), 0.0
    for phase in phases:
        at = began
        while (at := at + rng.expovariate(phase.rate)) < began + phase.seconds:
            yield at
        began += phase.seconds
