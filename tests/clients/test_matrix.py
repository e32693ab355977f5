"""docs/clients.md is what the clients' tests show, and no client passes over a task in silence."""

import subprocess
import sys

import pytest

from deployments.registry import TASKS
from tests.clients.matrix import PAGE, ROOT, clients, page

MARK = pytest.mark.client("openai", "fill-mask", "streaming", call="completions.create").mark
OTHERS = tuple(task for task in TASKS if task != "fill-mask")


def test_the_page_is_what_the_marks_say() -> None:
    # In a process of its own: pytest does not collect within a run.
    code = "from tests.clients.matrix import *; found = collected(); print('<page>' + page(clients(found)), end='')"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    made = ran.stdout.partition("<page>")[2]
    assert made == PAGE.read_text(encoding="utf-8"), "run `python -m tests.clients.matrix`"


def test_calls_and_reasons_are_told_apart() -> None:
    found = clients([MARK, MARK], {"openai": {"no such call": OTHERS}})
    assert found["openai"].calls == {"fill-mask": ["completions.create"], "streaming": ["completions.create"]}
    text = page(found)
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
