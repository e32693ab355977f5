"""Progress of models that start or change: a line for each, then the table of routes."""

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
_STATES = {
    "waiting": "waiting for a process",
    "loading": "loading weights",
    "downloading": "downloading weights",
    "checking": "checking batches against single inputs",
    "warming": "warming up",
    "ready": "ready",
    "idle": "idle, starts with the first request",
    "failed": "failed",
    "changing": "changing",
    "leaving": "finishing requests",
    "gone": "removed",
}


class Progress:
    """Follows the models until each is ready, or one has failed.

    On a terminal the lines are updated in place; otherwise each change of state is printed as a line.

    Args:
        console: to write to.
        notes: on every model, in order: its task or its change.
    """

    def __init__(self, console: Console, notes: Mapping[str, str]) -> None:
        self._console = console
        self._notes = notes
        self._began = time.monotonic()
        self._ready_after: dict[str, float] = {}
        self._printed: dict[str, str] = {}

    def follow(
        self,
        read: Callable[[], Mapping[str, ModelState]],
        stopped: Callable[[], bool],
        *,
        ends_at_failure: bool = True,
    ) -> dict[str, str]:
        """Poll `read` until all are ready or have failed; why models failed, by name.

        Args:
            read: the models' states.
            stopped: whether to give up.
            ends_at_failure: return at the first failure; else a failed model that Serve tries again has failed, unless
                it becomes ready while others load.
        """
        failed: dict[str, str] = {}
        with Live(console=self._console, refresh_per_second=8) if self._console.is_terminal else nullcontext() as live:
            while not stopped():
                states = read()
                self._record(states)
                if live is not None:
                    live.update(self._lines(states))
                failed |= {name: state.detail for name, state in states.items() if state.state == "failed"}
                ready = {name for name, state in states.items() if state.is_ready}
                failed = {name: reason for name, reason in failed.items() if name not in ready}
                if (failed and ends_at_failure) or states.keys() == ready | failed.keys():
                    return failed
                time.sleep(POLL_S)
        return failed

    def _record(self, states: Mapping[str, ModelState]) -> None:
        for name, state in states.items():
            if state.is_ready:
                self._ready_after.setdefault(name, time.monotonic() - self._began)
            if not self._console.is_terminal and self._printed.get(name) != _describe(state):
                self._printed[name] = _describe(state)
                self._console.print(f"{time.monotonic() - self._began:5.1f} s  {name}: {_describe(state)}", style=None)

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
            lines.add_row(mark, name, Text(note, "dim"), _describe(state), f"{seconds:.1f} s")
        return lines


def _describe(state: ModelState) -> str:
    """The state in words, with its detail."""
    with_detail = {"waiting": "waiting", "downloading": _STATES["downloading"]}
    if state.detail and state.state in with_detail:
        return f"{with_detail[state.state]}: {state.detail}"
    return _STATES[state.state]


def routes_table(routes: Sequence[Route], url: str) -> Table:
    """The paths of each model; they contain the task, and fit a terminal of 80 columns."""
    table = Table(title=f"Serving at {url}", title_justify="left", box=None, pad_edge=False, header_style="bold")
    table.add_column("model", no_wrap=True)
    table.add_column("POST", overflow="fold")
    for route in routes:
        table.add_row(route.model, "  ".join(route.paths))
    return table
