"""What a load test is to do. Travels to locust's process as JSON in its environment."""

import json
import os
from dataclasses import asdict, dataclass, fields
from typing import Literal

from loadtests.windows import Window, soak, spike, steps

ENVIRONMENT = "AUTOMODEL_LOADTEST_PLAN"

Shape = Literal["steps", "spike", "soak"]
SOAK_PARTS = 6
SECONDS: dict[str, float] = {"steps": 25.0, "spike": 25.0, "soak": 180.0}  # where the plan does not say


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do.

    Attributes:
        shape: how the load changes.
        rates: requests/s of the steps; of the others the first is the calm rate.
        peak: requests/s of a spike.
        seconds: of a step, of each part of a spike, of a whole soak; None for that of `SECONDS`.
        pause_s: between steps.
        timeout_s: after which a caller gives up; the service is told, in the header `timeout`.
        models: names of the models to ask; empty for all.
        seed: of all that is drawn.
        most_requests: after which nothing more is sent.
        records: the file that takes a line for every request; none where it is empty.
    """

    shape: Shape = "steps"
    rates: tuple[float, ...] = (2.0, 4.0, 8.0, 12.0, 20.0)
    peak: float = 30.0
    seconds: float | None = None
    pause_s: float = 8.0
    timeout_s: float = 15.0
    models: tuple[str, ...] = ()
    seed: int = 7
    most_requests: int = 100_000
    records: str = ""

    @property
    def length_s(self) -> float:
        """Of a step, of each part of a spike, of a whole soak."""
        return self.seconds or SECONDS[self.shape]

    @property
    def windows(self) -> list[Window]:
        if self.shape == "steps":
            return steps(self.rates, self.length_s, self.pause_s)
        if self.shape == "spike":
            return spike(self.rates[0], self.peak, self.length_s)
        return soak(self.rates[0], self.length_s, SOAK_PARTS)

    @property
    def requests(self) -> int:
        """How many it will send, about."""
        return round(sum(window.rate * window.seconds for window in self.windows))

    @property
    def total_s(self) -> float:
        return self.windows[-1].end

    def to_environment(self) -> dict[str, str]:
        return {ENVIRONMENT: json.dumps(asdict(self))}

    @classmethod
    def from_environment(cls) -> "Plan":
        """The plan that this process was given; the default one where locust was started by hand."""
        given = json.loads(os.environ.get(ENVIRONMENT, "{}"))
        names = {field.name for field in fields(cls)}
        if unknown := set(given) - names:
            raise ValueError(f"{ENVIRONMENT}: no {', '.join(sorted(unknown))}; known are {', '.join(sorted(names))}")
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})
