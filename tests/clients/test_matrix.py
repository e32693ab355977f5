"""The tables in docs/clients.md match the clients' tests, and every client has a test or a reason for every task."""

import subprocess
import sys

import pytest

from deployments.registry import TASKS
from tests.clients.matrix import PAGE, ROOT, clients, tables, written_into

MARK = pytest.mark.client("openai", "fill-mask", "streaming", call="completions.create").mark
OTHERS = tuple(task for task in TASKS if task != "fill-mask")


def test_the_page_has_the_tables_that_the_marks_give() -> None:
    # In a process of its own: pytest does not collect within a run.
    code = "from tests.clients.matrix import *; found = collected(); print('<tables>' + tables(clients(found)), end='')"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    page, made = PAGE.read_text(encoding="utf-8"), ran.stdout.partition("<tables>")[2]
    assert made
    assert made in page, "run `python -m tests.clients.matrix`"


def test_the_tables_go_between_the_marks_of_the_page() -> None:
    found = clients([MARK], {"openai": {"no such call": OTHERS}})
    page = "# Clients\n\n<!-- clients: begin -->\nold\n<!-- clients: end -->\n"
    assert written_into(page, found) == page.replace("old\n", tables(found))


def test_calls_and_reasons_are_told_apart() -> None:
    found = clients([MARK, MARK], {"openai": {"no such call": OTHERS}})
    assert found["openai"].calls == {"fill-mask": ["completions.create"], "streaming": ["completions.create"]}
    text = tables(found)
    assert "\n| fill-mask | ✓ |\n" in text
    assert "\n| fill-mask | `completions.create` |\n" in text
    assert "\n| multiple-choice | not offered: no such call |\n" in text
    assert "\n| streaming | ✓ |\n" in text


@pytest.mark.parametrize(
    ("not_offered", "message"),
    [
        ({}, "openai has neither a test nor a reason for feature-extraction"),
        ({"openai": {"no such call": tuple(TASKS)}}, "openai has both tests and a reason for fill-mask"),
        ({"openai": {"no such call": OTHERS}, "oppenai": {}}, "oppenai has reasons, and no test"),
    ],
)
def test_no_task_is_passed_over(not_offered: dict[str, dict[str, tuple[str, ...]]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        clients([MARK], not_offered)
