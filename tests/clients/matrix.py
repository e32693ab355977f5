"""The tables in docs/clients.md, which say which client can call which task, from the marks of the clients' tests.

`python -m tests.clients.matrix` writes them into the page, between its two marks. A test declares what it covers with
`@pytest.mark.client("openai", "text-generation", call="chat.completions.create")`: the client, one or several tasks
or other abilities, and the client's call. A test may have several such marks.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deployments.registry import TASKS
from tests.clients.not_offered import NOT_OFFERED

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/clients.md"
BEGIN, END = "<!-- clients: begin -->", "<!-- clients: end -->"
_BETWEEN = re.compile(f"(?<={BEGIN}\n).*(?={END})", re.DOTALL)


@dataclass
class Client:
    """What one client can ask for.

    Attributes:
        calls: for each task or ability that tests show, the client's calls.
        reasons: for each that the client cannot ask for, why.
    """

    calls: dict[str, list[str]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)


class Marks:
    """A pytest plugin that notes the marks of the tests that were found; no test need run."""

    def __init__(self) -> None:
        self.found: list[pytest.Mark] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.found = [mark for item in session.items for mark in item.iter_markers("client")]


def collected() -> list[pytest.Mark]:
    """The marks of all tests beside this file."""
    marks = Marks()
    status = pytest.main(["--collect-only", "--quiet", "--no-header", "-rN", str(Path(__file__).parent)], [marks])
    if status is not pytest.ExitCode.OK:
        raise SystemExit(f"the clients' tests cannot be collected ({status})")
    return marks.found


def clients(
    marks: Iterable[pytest.Mark], not_offered: Mapping[str, Mapping[str, tuple[str, ...]]] = NOT_OFFERED
) -> dict[str, Client]:
    """What each client can ask for, from the tests' marks and the reasons.

    Raises:
        ValueError: a client has neither a test nor a reason for a task, or both.
    """
    found: dict[str, Client] = {}
    for mark in marks:
        name, *abilities = mark.args
        calls = found.setdefault(name, Client()).calls
        for ability in abilities:
            known = calls.setdefault(ability, [])
            if mark.kwargs["call"] not in known:
                known.append(mark.kwargs["call"])
    for name, reasons in not_offered.items():
        if name not in found:
            raise ValueError(f"{name} has reasons, and no test")
        found[name].reasons = {ability: reason for reason, abilities in reasons.items() for ability in abilities}
    for name, client in found.items():
        if missing := [task for task in TASKS if task not in client.calls and task not in client.reasons]:
            raise ValueError(f"{name} has neither a test nor a reason for {', '.join(missing)}")
        if both := client.calls.keys() & client.reasons.keys():
            raise ValueError(f"{name} has both tests and a reason for {', '.join(sorted(both))}")
    return dict(sorted(found.items(), key=lambda pair: pair[0].lower()))


def written_into(page: str, found: Mapping[str, Client]) -> str:
    """A page with the tables as they are now."""
    return _BETWEEN.sub(lambda _: tables(found), page)


def tables(found: Mapping[str, Client]) -> str:
    """Markdown: one table of all clients, then one with each client's calls."""
    others = sorted({ability for client in found.values() for ability in (*client.calls, *client.reasons)} - {*TASKS})
    abilities = [*TASKS, *others]
    lines = [_row("", *found), "|---" * (len(found) + 1) + "|"]
    for ability in abilities:
        lines.append(_row(ability, *("✓" if ability in client.calls else "" for client in found.values())))
    for name, client in found.items():
        lines += ["", f"### {name}", "", _row("", "call, or why there is none"), "|---|---|"]
        for ability in abilities:
            if ability in client.calls:
                lines.append(_row(ability, ", ".join(f"`{call}`" for call in client.calls[ability])))
            elif ability in client.reasons:
                lines.append(_row(ability, f"not offered: {client.reasons[ability]}"))
    return "\n".join(lines) + "\n"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    PAGE.write_text(written_into(PAGE.read_text(encoding="utf-8"), clients(collected())), encoding="utf-8")
