"""Which waiting rows make the next batch. Pure functions of the waiting line: no threads, no clock, no torch."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol


class Waiting(Protocol):
    """What a selection sees of a waiting row."""

    @property
    def cost(self) -> int: ...
    @property
    def length(self) -> int: ...
    @property
    def params(self) -> Hashable: ...
    @property
    def skips(self) -> int: ...


class Selection(ABC):
    """A rule that picks rows for one forward."""

    max_cost: int

    @abstractmethod
    def pick(self, waiting: Sequence[Waiting]) -> list[int]:
        """Indices into `waiting` (oldest first, not empty) of the next batch: at least one, with equal params."""

    def halve(self) -> int:
        """Halve the cost budget after an out-of-memory error; returns the new budget."""
        self.max_cost = max(1, self.max_cost // 2)
        return self.max_cost


@dataclass
class ArrivalOrder(Selection):
    """Rows in the order they came, while they fit the budget. For layouts without padding."""

    max_cost: int
    max_rows: int

    def pick(self, waiting: Sequence[Waiting]) -> list[int]:
        params = waiting[0].params
        picked, cost = [0], waiting[0].cost
        for index in range(1, len(waiting)):
            row = waiting[index]
            if row.params != params:
                continue
            cost += row.cost
            if cost > self.max_cost or len(picked) == self.max_rows:
                break
            picked.append(index)
        return picked


@dataclass
class NearestLength(Selection):
    """The oldest row is the anchor; rows of nearest length join while the padding stays within bounds.

    A row that was passed over `max_skips` times in favour of younger ones becomes the anchor itself, so nobody
    starves. `max_padding` is the largest share of padding in the batch; 0 lets only equal lengths together.
    """

    max_cost: int
    max_rows: int
    max_padding: float
    max_skips: int

    def pick(self, waiting: Sequence[Waiting]) -> list[int]:
        anchor = next((i for i, row in enumerate(waiting) if row.skips >= self.max_skips), 0)
        chosen = waiting[anchor]
        picked, used = [anchor], chosen.length
        longest, unit = chosen.length, chosen.cost / max(1, chosen.length)
        near = [i for i, row in enumerate(waiting) if i != anchor and row.params == chosen.params]
        near.sort(key=lambda i: abs(waiting[i].length - chosen.length))  # stable: equal distance keeps arrival order
        for index in near:
            if len(picked) == self.max_rows:
                break
            length = waiting[index].length
            area = max(longest, length) * (len(picked) + 1)
            if area * unit > self.max_cost or 1 - (used + length) / area > self.max_padding:
                continue
            picked.append(index)
            used, longest = used + length, max(longest, length)
        return picked
