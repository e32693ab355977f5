"""The table of routes that `up` ends its start with, as a terminal of the usual width shows it."""

import io

import pytest
from rich.console import Console

from deployments.registry import KINDS
from serve.cli.progress import Progress, routes_table
from serve.cluster.states import ModelState
from serve.routes import RouteTable

ROUTES = RouteTable((f"{number}-model-of-a-name", kind) for number, kind in enumerate(KINDS)).routes


@pytest.mark.parametrize("width", [80, 200])
def test_no_path_is_broken(width: int) -> None:
    shown = io.StringIO()
    Console(file=shown, width=width).print(routes_table(ROUTES, "http://127.0.0.1:8000"))
    words = shown.getvalue().split()
    assert [path for path in words if path.startswith("/")] == [path for route in ROUTES for path in route.paths]
    assert [word for word in words if word in {route.model for route in ROUTES}] == [route.model for route in ROUTES]


LOADING, READY = ModelState("loading", "", 0), ModelState("ready", "", 1)
FAILED = ModelState("failed", "no such file", 0)


@pytest.mark.parametrize(
    ("states", "ends_at_failure", "reads", "failed"),
    [
        ([(LOADING, LOADING), (FAILED, LOADING), (FAILED, READY)], True, 2, {"a": "no such file"}),
        ([(LOADING, LOADING), (FAILED, LOADING), (FAILED, READY)], False, 3, {"a": "no such file"}),
        # Serve tries a failed model again: it counts as failed meanwhile, and no longer once it is ready.
        ([(FAILED, LOADING), (LOADING, LOADING), (LOADING, READY)], False, 3, {"a": "no such file"}),
        ([(FAILED, LOADING), (LOADING, LOADING), (READY, LOADING), (READY, READY)], False, 4, {}),
        ([(FAILED, FAILED)], False, 1, {"a": "no such file", "b": "no such file"}),
        ([(READY, READY)], False, 1, {}),
    ],
)
def test_models_are_followed_until_each_is_ready_or_has_failed(
    monkeypatch: pytest.MonkeyPatch,
    states: list[tuple[ModelState, ModelState]],
    ends_at_failure: bool,
    reads: int,
    failed: dict[str, str],
) -> None:
    monkeypatch.setattr("serve.cli.progress.POLL_S", 0)
    left = list(states)
    progress = Progress(Console(file=io.StringIO()), {"a": "fill-mask", "b": "fill-mask"})
    read = progress.follow(
        lambda: dict(zip("ab", left.pop(0), strict=True)), lambda: False, ends_at_failure=ends_at_failure
    )
    assert (read, len(states) - len(left)) == (failed, reads)
