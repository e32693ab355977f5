"""The table of routes that `up` ends its start with, as a terminal of the usual width shows it."""

import io

import pytest
from rich.console import Console

from deployments.registry import KINDS
from serve.cli.progress import routes_table
from serve.routes import RouteTable

ROUTES = RouteTable((f"{number}-model-of-a-name", kind) for number, kind in enumerate(KINDS)).routes


@pytest.mark.parametrize("width", [80, 200])
def test_no_path_is_broken(width: int) -> None:
    shown = io.StringIO()
    Console(file=shown, width=width).print(routes_table(ROUTES, "http://127.0.0.1:8000"))
    words = shown.getvalue().split()
    assert [path for path in words if path.startswith("/")] == [path for route in ROUTES for path in route.paths]
    assert [word for word in words if word in {route.model for route in ROUTES}] == [route.model for route in ROUTES]
