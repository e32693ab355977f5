import math
from pathlib import Path

import pytest

from loadtests.bench.overload.benchmark import Level, Plan, Round
from loadtests.bench.overload.plot import plot
from loadtests.bench.overload.recovery import Recovery
from loadtests.bench.overload.report import COLUMNS, report
from loadtests.load.statistics import LoadStatistics

PLAN = Plan(multiples=(0.5, 1, 10))


def level(multiple: float, goodput: float, refused: float = 0.0, lost: float = 0.0) -> Level:
    retry_after = (5.0, 4.0, 6.0) if refused else None
    p50 = 5.0 if refused else 0.1
    load = LoadStatistics(100 * multiple, goodput, p50, 2 * p50, refused, 0.01, lost, {}, retry_after, 0.002)
    return Level(multiple, load, 1.5, 0.1)


def rounds(at_ten: float, lost: float = 0.0) -> list[Round]:
    levels = [level(0.5, 50), level(1, 100), level(10, at_ten, refused=0.9, lost=lost)]
    return [Round(98.0, levels, Recovery(0.25, 9.0, 0.0))]


def test_the_table_has_a_row_for_each_load() -> None:
    made = report(PLAN, rounds(95))
    assert all(len(row) == len(COLUMNS) for row in made.rows)
    assert [row[0] for row in made.rows] == ["0.5 x", "1 x", "10 x"]
    assert made.rows[2][1:8] == (1000, 95, 5.0, 10.0, "90%", "0.0%", "5 (4-6)")
    assert made.rows[0][7] == ""


@pytest.mark.parametrize(("at_ten", "lost", "met"), [(95, 0.0, [True] * 4), (80, 0.05, [False, False, True, True])])
def test_the_targets(at_ten: float, lost: float, met: list[bool]) -> None:
    made = report(PLAN, rounds(at_ten, lost))
    assert [target.is_met for target in made.targets] == met
    assert made.targets[0].measured == pytest.approx(at_ten / 100)


def test_the_plot_is_written_even_without_answers(tmp_path: Path) -> None:
    done = rounds(0)
    done[0].levels[2].load.p50_s = done[0].levels[2].load.p99_s = math.nan
    plot(done, tmp_path / "new" / "overload.png")
    assert (tmp_path / "new" / "overload.png").read_bytes().startswith(b"\x89PNG")
