"""What a person sees while models come up or change: a line for each, then the table of routes."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from serve.cluster.states import ModelState
from serve.routes import Route

POLL_S = 0.25
_WORDS = {
    "waiting": "waiting for a process",
    "loading": "loading weights",
    "downloading": "downloading weights",
    "checking": "checking that batches equal running alone",
    "warming": "warming up",
    "ready": "ready",
    "idle": "starts with the first request",
    "failed": "failed",
    "changing": "being changed",
    "leaving": "answering what it has begun",
    "gone": "gone",
}


class Progress:
    """Follows the models until each is ready, or one has failed.

    On a terminal the lines change in place; elsewhere each change of state is a line of its own.

    Args:
        console: to write to.
        notes: on every model, in order: its task, or what happens to it.
    """

    def __init__(self, console: Console, notes: Mapping[str, str]) -> None:
        self._console = console
        self._notes = notes
        self._began = time.monotonic()
        self._ready_after: dict[str, float] = {}
        self._printed: dict[str, str] = {}

    def follow(self, read: Callable[[], Mapping[str, ModelState]], stopped: Callable[[], bool]) -> dict[str, str]:
        """Poll `read` until all are ready; the reasons of those that failed, by model."""
        with Live(console=self._console, refresh_per_second=8) if self._console.is_terminal else nullcontext() as live:
            while not stopped():
                states = read()
                self._note(states)
                if live is not None:
                    live.update(self._lines(states))
                failed = {name: state.detail for name, state in states.items() if state.state == "failed"}
                if failed or all(state.is_ready for state in states.values()):
                    return failed
                time.sleep(POLL_S)
        return {}

    def _note(self, states: Mapping[str, ModelState]) -> None:
        for name, state in states.items():
            if state.is_ready:
                self._ready_after.setdefault(name, time.monotonic() - self._began)
            if not self._console.is_terminal and self._printed.get(name) != _words(state):
                self._printed[name] = _words(state)
                self._console.print(f"{time.monotonic() - self._began:5.1f} s  {name}: {_words(state)}", style=None)

    def _lines(self, states: Mapping[str, ModelState]) -> Table:
        lines = Table.grid(padding=(0, 2))
        for name, note in self._notes.items():
            state = states[name]
            mark: Spinner | Text = Spinner("dots")
            seconds = time.monotonic() - self._began
            if state.is_ready:
                mark, seconds = Text("✓", "green"), self._ready_after[name]
            elif state.state == "failed":
                mark = Text("✗", "red")
            lines.add_row(mark, name, Text(note, "dim"), _words(state), f"{seconds:.1f} s")
        return lines


def _words(state: ModelState) -> str:
    """What it is doing; of one that waits, for what."""
    words = {"waiting": "waiting", "downloading": _WORDS["downloading"]}
    return f"{words[state.state]}: {state.detail}" if state.state in words and state.detail else _WORDS[state.state]


def routes_table(routes: Sequence[Route], url: str) -> Table:
    """Where each model answers. A path says the task, too, and is not broken where the terminal has 80 columns."""
    table = Table(title=f"Serving at {url}", title_justify="left", box=None, pad_edge=False, header_style="bold")
    table.add_column("model", no_wrap=True)
    table.add_column("POST", overflow="fold")
    for route in routes:
        table.add_row(route.model, "  ".join(route.paths))
    return table
