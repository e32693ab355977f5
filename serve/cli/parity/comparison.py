"""How far an answer is from its reference: numbers by their difference, labels, texts and offsets exactly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deployments.numerics import largest_difference
from serve.cli.parity.examples import shortened

KEYS = ("label", "token", "index")  # what names an entry of a list that is ordered by scores


@dataclass(frozen=True, slots=True)
class Failure:
    """What a service said in place of an answer."""

    message: str


@dataclass(frozen=True, slots=True)
class Difference:
    """Of one answer from its reference.

    Attributes:
        number: largest absolute difference, relative for values above 1; None if the answer has no numbers.
        what: the first label, text or offset that differs, or why nothing could be compared; empty if all agree.
    """

    number: float | None = None
    what: str = ""

    def __add__(self, other: "Difference") -> "Difference":
        numbers = [number for number in (self.number, other.number) if number is not None]
        return Difference(max(numbers, default=None), self.what or other.what)


def compare(answer: Any, expected: Any, tolerance: float) -> Difference:
    """The difference of an answer, as JSON has it, from its reference.

    Args:
        answer: or a `Failure`.
        expected: numpy arrays and floats are compared as numbers, everything else exactly. Of an object, only the
            fields that the reference has count. Scored entries are compared by their names, and two of them may change
            places if their scores are within the tolerance of each other.
        tolerance: up to which scores count as equal for that.
    """
    if isinstance(answer, Failure):
        return Difference(what=answer.message)
    if hasattr(expected, "shape"):
        return _numbers(answer, expected)
    if isinstance(expected, Mapping):
        return _objects(answer, expected, tolerance)
    if isinstance(expected, (list, tuple)):
        return _lists(answer, expected, tolerance)
    if isinstance(expected, float):
        return _numbers(answer, expected)
    return Difference(what="" if answer == expected else _unequal(answer, expected))


def _unequal(answer: Any, expected: Any) -> str:
    return f"{shortened(repr(answer))}, not {shortened(repr(expected))}"


def _numbers(answer: Any, expected: Any) -> Difference:
    try:
        number = largest_difference(answer, expected)
    except (TypeError, ValueError):  # not numbers, or ragged
        return Difference(what="the answer has another shape than the reference")
    if number == float("inf"):
        return Difference(number, "the answer has another shape than the reference, or is not finite")
    return Difference(number)


def _objects(answer: Any, expected: Mapping[str, Any], tolerance: float) -> Difference:
    found = Difference()
    for name, value in expected.items():
        if not isinstance(answer, Mapping) or name not in answer:
            return found + Difference(what=f"the answer has no {name!r}")
        found += compare(answer[name], value, tolerance)
    return found


def _lists(answer: Any, expected: Sequence[Any], tolerance: float) -> Difference:
    if not isinstance(answer, list) or len(answer) != len(expected):
        count = len(answer) if isinstance(answer, list) else "no"
        return Difference(what=f"{count} entries, not {len(expected)}")
    key = next((name for name in KEYS if expected and isinstance(expected[0], Mapping) and name in expected[0]), None)
    if key is not None and "score" in expected[0]:
        return _ranked(answer, expected, key, tolerance)
    found = Difference()
    for own, other in zip(answer, expected, strict=True):
        found += compare(own, other, tolerance)
    return found


def _ranked(answer: Sequence[Any], expected: Sequence[Mapping[str, Any]], key: str, tolerance: float) -> Difference:
    """Of two lists that are ordered by scores, and may end before the last entry."""
    known, found = {entry[key]: entry for entry in expected}, Difference()
    for own, other in zip(answer, expected, strict=True):
        same = known.get(own[key])
        if same is not None:
            found += _objects(own, same, tolerance)
        rank = (own if same is None else same)["score"]
        if own[key] != other[key] and abs(rank - other["score"]) > tolerance:
            found += Difference(what=_unequal(own[key], other[key]))
    return found
