"""What every batch must hold, whatever waits."""

from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.batching.selection import ArrivalOrder, NearestLength


@dataclass
class Line:
    """A waiting row, as a selection sees it."""

    length: int
    params: str = ""
    cost: int = field(default=-1)

    def __post_init__(self) -> None:
        self.cost = self.length if self.cost < 0 else self.cost


lines = st.lists(
    st.builds(Line, length=st.integers(1, 60), params=st.sampled_from("ab")),
    min_size=1,
    max_size=40,
)
budgets = st.integers(1, 300)
rows = st.integers(1, 12)


@given(lines, budgets, rows)
def test_arrival_order_takes_the_front_of_the_line(waiting, max_cost, max_rows):
    picked = ArrivalOrder(max_cost, max_rows).pick(waiting)
    same = [i for i, row in enumerate(waiting) if row.params == waiting[0].params]
    assert picked == same[: len(picked)]  # the oldest first, nobody of the same params passed over
    assert 1 <= len(picked) <= max_rows
    assert len(picked) == 1 or sum(waiting[i].cost for i in picked) <= max_cost


@given(lines, budgets, rows)
def test_arrival_order_leaves_no_room_unused(waiting, max_cost, max_rows):
    picked = ArrivalOrder(max_cost, max_rows).pick(waiting)
    left = [row for i, row in enumerate(waiting) if row.params == waiting[0].params and i not in picked]
    if left and len(picked) < max_rows:
        assert sum(waiting[i].cost for i in picked) + left[0].cost > max_cost


@given(lines, budgets, rows, st.floats(0, 0.9), st.integers(0, 20))
def test_nearest_length_stays_within_bounds(waiting, max_cost, max_rows, max_padding, padding_slack):
    picked = NearestLength(max_cost, max_rows, max_padding, padding_slack).pick(waiting)
    assert len(set(picked)) == len(picked) <= max_rows
    assert len({waiting[i].params for i in picked}) == 1
    lengths = [waiting[i].length for i in picked]
    area = max(lengths) * len(lengths)
    assert area - sum(lengths) <= max(max_padding * area + 1e-9, padding_slack)
    assert len(picked) == 1 or area <= max_cost


@given(lines, budgets)
def test_without_padding_only_equal_lengths_run_together(waiting, max_cost):
    picked = NearestLength(max_cost, 12, 0.0).pick(waiting)
    assert {waiting[i].length for i in picked} == {waiting[0].length}


def test_the_nearest_lengths_join_first():
    waiting = [Line(20), Line(40), Line(21), Line(19), Line(5)]
    assert NearestLength(1000, 3, 0.5).pick(waiting) == [0, 2, 3]


def test_cost_counts_the_padded_area():
    waiting = [Line(10, cost=30), Line(10, cost=30), Line(10, cost=30)]  # three units a position, such as pixels
    assert NearestLength(60, 8, 0.1).pick(waiting) == [0, 1]


def test_a_row_above_the_budget_runs_alone():
    waiting = [Line(500), Line(500)]
    assert ArrivalOrder(100, 8).pick(waiting) == [0]
    assert NearestLength(100, 8, 0.1).pick(waiting) == [0]


@given(st.integers(0, 2**32).map(Random))
def test_nobody_starves(random):
    """A line kept full of short rows; each row leaves within as many batches as rows were before it, and one."""
    selection = NearestLength(4096, 4, 0.1)
    waiting, due, batch = [], {}, 0
    for batch in range(200):
        while len(waiting) < 12:
            row = Line(random.choice([3, 3, 3, 4, 60]))
            due[id(row)] = batch + len(waiting) + 1
            waiting.append(row)
        picked = selection.pick(waiting)
        for index in picked:
            assert batch < due[id(waiting[index])]
        waiting = [row for index, row in enumerate(waiting) if index not in picked]
        assert all(due[id(row)] > batch for row in waiting)


@pytest.mark.parametrize("selection", [ArrivalOrder(5, 1), NearestLength(5, 1, 0.1)], ids=["arrival", "nearest"])
def test_the_budget_halves_down_to_one(selection):
    assert [selection.halve() for _ in range(4)] == [2, 1, 1, 1]
    assert selection.max_cost == 1


def test_between_short_rows_a_few_positions_of_padding_cost_less_than_another_call():
    waiting = [Line(8), Line(12), Line(11), Line(200)]
    assert NearestLength(4096, 8, 0.1).pick(waiting) == [0]
    assert sorted(NearestLength(4096, 8, 0.1, padding_slack=12).pick(waiting)) == [0, 1, 2]
