"""docs/parity.md has a row for each task and family of the tests, and none differs."""

import re

from deployments.registry import KINDS
from tests.parity_matrix import BEGIN, END, PAGE, cells, summary

COLUMNS = 11


def rows() -> list[list[str]]:
    between = PAGE.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]
    lines = [line for line in between.splitlines() if line.startswith("| ")]
    entries = [[entry.strip(" `") for entry in line[1:-1].split("|")] for line in lines]
    return [row for row in entries if len(row) == COLUMNS and row[0] != "task"]


def test_every_family_of_every_task_has_a_row() -> None:
    expected = [(cell.kind.name, cell.kind.auto_model, cell.family) for cell in cells()]
    assert [tuple(row[:3]) for row in rows()] == expected, "run python -m tests.parity_matrix"
    assert {auto_model for _, auto_model, _ in expected} == {kind.auto_model for kind in KINDS}


def test_no_family_differs() -> None:
    for row in rows():
        assert row[-1] == "equal", row
        assert row[-2] == "100.0%", row
        assert int(row[5].split()[0]) >= 4, row
        assert all(re.fullmatch(r"\d\.\de-\d\d|0\.0e\+00|–", number) for number in row[6:9]), row


def test_the_summary_is_that_of_the_rows() -> None:
    page = PAGE.read_text(encoding="utf-8")
    lines = [
        line for line in page.split(BEGIN)[1].splitlines() if line.startswith("| ") and line.count("|") == COLUMNS + 1
    ]
    assert summary(lines[1:]) in page
