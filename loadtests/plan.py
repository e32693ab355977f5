"""The plan of a load test. Locust's process receives it as JSON in its environment."""

import json
import os
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from loadtests.windows import Window, soak, spike, steps

ENVIRONMENT = "AUTOMODEL_LOADTEST_PLAN"

Shape = Literal["steps", "spike", "soak"]
SOAK_PARTS = 6
DEFAULT_SECONDS: dict[str, float] = {"steps": 25.0, "spike": 25.0, "soak": 180.0}


@dataclass(frozen=True, slots=True)
class Plan:
    """What a load test runs.

    Attributes:
        shape: how the offered load changes.
        rates: requests/s of the steps. A spike and a soak use the first.
        peak: requests/s of a spike.
        seconds: length of a step, of each part of a spike, or of a whole soak; None for `DEFAULT_SECONDS`.
        pause_s: between steps.
        timeout_s: after which a caller gives up; sent to the service in the header `timeout`.
        models: names of the models to call; empty for all.
        seed: of the random numbers.
        max_requests: after which nothing more is sent.
        records: path of the CSV file of requests; empty for none.
    """

    shape: Shape = "steps"
    rates: tuple[float, ...] = (2.0, 4.0, 8.0, 12.0, 20.0)
    peak: float = 30.0
    seconds: float | None = None
    pause_s: float = 8.0
    timeout_s: float = 15.0
    models: tuple[str, ...] = ()
    seed: int = 7
    max_requests: int = 100_000
    records: str = ""

    @property
    def length_s(self) -> float:
        """Of a step, of each part of a spike, or of a whole soak."""
        return self.seconds or DEFAULT_SECONDS[self.shape]

    @property
    def windows(self) -> list[Window]:
        if self.shape == "steps":
            return steps(self.rates, self.length_s, self.pause_s)
        if self.shape == "spike":
            return spike(self.rates[0], self.peak, self.length_s)
        return soak(self.rates[0], self.length_s, SOAK_PARTS)

    @property
    def requests(self) -> int:
        """Expected number of requests."""
        return round(sum(window.rate * window.seconds for window in self.windows))

    @property
    def total_s(self) -> float:
        return self.windows[-1].end

    def to_environment(self) -> dict[str, str]:
        return {ENVIRONMENT: json.dumps(asdict(self))}

    @classmethod
    def from_environment(cls) -> "Plan":
        """The plan of this process; the default plan if locust was started by hand."""
        given: dict[str, Any] = json.loads(os.environ.get(ENVIRONMENT, "{}"))
        names = {field.name for field in fields(cls)}
        if unknown := set(given) - names:
            raise ValueError(f"{ENVIRONMENT}: no {', '.join(sorted(unknown))}; known are {', '.join(sorted(names))}")
        settings: dict[str, Any] = {
            name: tuple(each) if isinstance(each, list) else each for name, each in given.items()
        }
        return cls(**settings)
