"""The README's parts: the page that a reader sees first, and what it tells of each task."""

import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
_TASK = re.compile(r"<details>\n<summary>(?P<name>[\w-]+)</summary>\n\n(?P<text>.*?)\n</details>\n?", re.DOTALL)


def of_tasks() -> dict[str, str]:
    """What stands below each task's name: its fields and its examples, which the tests run."""
    return {match["name"]: match["text"] for match in _TASK.finditer(README.read_text(encoding="utf-8"))}


def index() -> str:
    """The README with links in place of what has pages of its own."""
    return _TASK.sub(
        lambda match: f"- [{match['name']}](tasks/{match['name']}.md)\n", README.read_text(encoding="utf-8")
    )
