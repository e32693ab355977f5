"""Which waiting rows make the next batch. Pure functions of the queue: no threads, no clock, no torch."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol


class Waiting(Protocol):
    """The fields of a waiting row that a selection reads."""

    @property
    def cost(self) -> int: ...
    @property
    def length(self) -> int: ...
    @property
    def params(self) -> Hashable: ...


class Selection(ABC):
    """A rule that picks rows for one forward."""

    max_cost: int
    max_rows: int

    @abstractmethod
    def pick(self, waiting: Sequence[Waiting]) -> list[int]:
        """Indices into `waiting` (oldest first, not empty) of the next batch: at least one, with equal params."""

    def halve(self) -> int:
        """Halve the cost budget after an out-of-memory error; returns the new budget."""
        self.max_cost = max(1, self.max_cost // 2)
        return self.max_cost


@dataclass
class ArrivalOrder(Selection):
    """Rows in order of arrival, while they fit the budget. For layouts without padding."""

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
    """The oldest row is the anchor; rows of nearest length join it while the padding stays within bounds.

    No row starves: every batch takes the oldest, so a row waits for at most as many batches as rows came before it.

    Attributes:
        max_cost: of a batch, padding included.
        max_rows: of a batch.
        max_padding: largest share of padding in a batch; 0 batches only equal lengths.
        padding_slack: positions of padding that are allowed whatever their share: between short rows a few positions
            are a large share, and yet cost less than another call of the model.
    """

    max_cost: int
    max_rows: int
    max_padding: float
    padding_slack: int = 0

    def pick(self, waiting: Sequence[Waiting]) -> list[int]:
        anchor = waiting[0]
        picked, used = [0], anchor.length
        longest, unit = anchor.length, anchor.cost / max(1, anchor.length)
        near = [i for i in range(1, len(waiting)) if waiting[i].params == anchor.params]
        near.sort(key=lambda i: abs(waiting[i].length - anchor.length))  # stable: equal distance keeps arrival order
        for index in near:
            if len(picked) == self.max_rows:
                break
            length = waiting[index].length
            area = max(longest, length) * (len(picked) + 1)
            padding = area - used - length
            if area * unit > self.max_cost or padding > max(self.max_padding * area, self.padding_slack):
                continue
            picked.append(index)
            used, longest = used + length, max(longest, length)
        return picked
