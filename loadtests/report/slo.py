"""Objectives, and whether a load test met them."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from loadtests.report.figures import ALL, Seen, Stretch
from loadtests.report.targets import Target
from loadtests.traffic.callers import CALLERS

DEFAULT = Path(__file__).parents[1] / "slo.yaml"
NAMES = {
    "p99_s": "p99, s",
    "first_token_p99_s": "p99 of the first token, s",
    "token_p99_s": "p99 of a token, s",
}


class NoObjectives(Exception):
    """The file does not say what the objectives are."""


class Objective(BaseModel):
    """Of one kind of caller. Seconds, from when a request was due; what is left out is not asked for."""

    model_config = ConfigDict(extra="forbid")

    p99_s: float | None = Field(default=None, gt=0)
    first_token_p99_s: float | None = Field(default=None, gt=0)
    token_p99_s: float | None = Field(default=None, gt=0)


class Objectives(BaseModel):
    """All of them.

    Attributes:
        up_to_rate: requests/s up to which they hold.
        error_share: of each kind of caller.
        callers: by kind.
    """

    model_config = ConfigDict(extra="forbid")

    up_to_rate: float = Field(gt=0)
    error_share: float = Field(default=0.01, ge=0, le=1)
    callers: dict[str, Objective] = Field(default_factory=dict)


def read(path: Path) -> Objectives:
    """The objectives of a file.

    Raises:
        NoObjectives: it cannot be read, or names a kind of caller that there is not.
    """
    try:
        objectives = Objectives.model_validate(yaml.safe_load(path.read_text()))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise NoObjectives(f"{path}: {error}") from None
    known = [caller.name for caller in CALLERS]
    if unknown := set(objectives.callers) - set(known):
        raise NoObjectives(f"{path}: no callers {', '.join(sorted(unknown))}; known are {', '.join(known)}")
    return objectives


def verdict(objectives: Objectives, stretches: Sequence[Stretch]) -> list[Target]:
    """Each objective in each window in which it holds. A kind of caller that there was none of is not asked for."""
    return [
        target
        for stretch in stretches
        if stretch.window.rate <= objectives.up_to_rate
        for seen in stretch.seen.values()
        if seen.caller != ALL and seen.requests
        for target in _targets(objectives, stretch.window.name, seen)
    ]


def _targets(objectives: Objectives, window: str, seen: Seen) -> Iterator[Target]:
    at = f"{window}, {seen.caller}"
    yield Target(f"{at}: share of errors", objectives.error_share, seen.error_share, at_most=True)
    wanted = objectives.callers.get(seen.caller, Objective())
    measured = {"p99_s": seen.latency, "first_token_p99_s": seen.first_token, "token_p99_s": seen.token}
    for name, told in NAMES.items():
        if (bound := getattr(wanted, name)) is not None:
            yield Target(f"{at}: {told}", bound, measured[name].get(99, math.nan), at_most=True)
