"""Service level objectives, and whether a load test met them."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from loadtests.report.targets import Target
from loadtests.report.windows import ALL, CallerResult, WindowResult
from loadtests.traffic.callers import CALLERS

DEFAULT = Path(__file__).parents[1] / "slo.yaml"
LABELS = {
    "p99_s": "p99 latency, s",
    "first_token_p99_s": "p99 time to first token, s",
    "token_p99_s": "p99 time per output token, s",
}


class InvalidObjectives(Exception):
    """The file cannot be read or is not valid."""


class Objective(BaseModel):
    """Upper bounds for one kind of caller, in seconds from when a request was due. None: no bound."""

    model_config = ConfigDict(extra="forbid")

    p99_s: float | None = Field(default=None, gt=0)
    first_token_p99_s: float | None = Field(default=None, gt=0)
    token_p99_s: float | None = Field(default=None, gt=0)


class Objectives(BaseModel):
    """The objectives of a file.

    Attributes:
        up_to_rate: the objectives apply to windows with at most this rate, in requests/s.
        error_share: upper bound for each kind of caller.
        callers: by kind of caller.
    """

    model_config = ConfigDict(extra="forbid")

    up_to_rate: float = Field(gt=0)
    error_share: float = Field(default=0.01, ge=0, le=1)
    callers: dict[str, Objective] = Field(default_factory=dict)


def read(path: Path) -> Objectives:
    """The objectives of a file.

    Raises:
        InvalidObjectives: the file cannot be read, is not valid, or names an unknown kind of caller.
    """
    try:
        objectives = Objectives.model_validate(yaml.safe_load(path.read_text()))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise InvalidObjectives(f"{path}: {error}") from None
    known = [caller.name for caller in CALLERS]
    if unknown := set(objectives.callers) - set(known):
        raise InvalidObjectives(f"{path}: unknown callers {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    return objectives


def evaluate(objectives: Objectives, results: Sequence[WindowResult]) -> list[Target]:
    """Each objective in each window that it applies to, without kinds of callers that sent nothing."""
    return [
        target
        for result in results
        if result.window.rate <= objectives.up_to_rate
        for each in result.callers.values()
        if each.caller != ALL and each.requests
        for target in _targets(objectives, result.window.name, each)
    ]


def _targets(objectives: Objectives, window: str, result: CallerResult) -> Iterator[Target]:
    place = f"{window}, {result.caller}"
    yield Target(f"{place}: error share", objectives.error_share, result.error_share, at_most=True)
    objective = objectives.callers.get(result.caller, Objective())
    measured = {"p99_s": result.latency, "first_token_p99_s": result.first_token, "token_p99_s": result.token}
    for name, label in LABELS.items():
        if (bound := getattr(objective, name)) is not None:
            yield Target(f"{place}: {label}", bound, measured[name].get(99, math.nan), at_most=True)
