"""The parts of docs/tasks.md: what it says about each task, and the page as the site shows it."""

import re
from pathlib import Path

from deployments.registry import TASKS

PAGE = Path(__file__).parents[2] / "docs/tasks.md"
_TASK = re.compile(r"^## (?P<name>[a-z0-9-]+)\n\n(?P<text>.*?)(?=^## |\Z)", re.DOTALL | re.MULTILINE)


def of_tasks() -> dict[str, str]:
    """The fields and examples under each task's heading; the tests run the examples."""
    return {match["name"]: match["text"].strip() for match in _TASK.finditer(PAGE.read_text(encoding="utf-8"))}


def index(markdown: str) -> str:
    """The page with links instead of the tasks that have pages of their own."""
    return _TASK.sub(lambda match: _entry(match["name"]), markdown)


def _entry(name: str) -> str:
    return f"## {name}\n\n{TASKS[name].purpose} [Fields and examples](tasks/{name}.md).\n\n"
