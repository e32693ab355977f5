"""`automodel-serve top`."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

from serve.cli.terminal import fail
from serve.cli.top.client import ServiceClient, ServiceUnreachable
from serve.cli.top.monitor import Monitor

WIDTH = 140  # columns, if the output is not a terminal


def top(
    url: Annotated[str, typer.Option(help="URL of the service.")] = "http://127.0.0.1:8000",
    key: Annotated[
        str | None,
        typer.Option(
            envvar="AUTOMODEL_SERVE_API_KEY", help="API key, if the service requires one.", show_default=False
        ),
    ] = None,
    interval: Annotated[float, typer.Option(min=0.5, metavar="SECONDS", help="Time between two updates.")] = 3.0,
    once: Annotated[bool, typer.Option("--once", help="Print one table after one interval, and exit.")] = False,
    svg: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --once: also write the table to this SVG file.")
    ] = None,
) -> None:
    """Show the load of every model of a running service, continuously; Ctrl-C exits."""
    if svg is not None and not once:
        raise typer.BadParameter("requires --once", param_hint="--svg")
    console = console_of(svg is not None)
    try:
        with ServiceClient(url, key) as service:
            monitor = Monitor(service, console)
            if once:
                time.sleep(interval)
                console.print(monitor.update())
            else:
                _follow(monitor, console, interval)
    except ServiceUnreachable as error:
        fail(str(error), Console(stderr=True, highlight=False))
    except KeyboardInterrupt:
        return
    if svg is not None:
        console.save_svg(str(svg), title="automodel-serve top")


def console_of(record: bool) -> Console:
    """The terminal's console, or one wide enough for the whole table for other output and SVG files."""
    console = Console(highlight=False, record=record)
    return console if console.is_terminal and not record else Console(highlight=False, record=record, width=WIDTH)


def _follow(monitor: Monitor, console: Console, interval: float) -> None:
    """Update one table in place, or print one after the other if the output is not a terminal."""
    table = monitor.table()
    with Live(console=console, auto_refresh=False) if console.is_terminal else console as output:
        while True:
            if isinstance(output, Live):
                output.update(table, refresh=True)
            else:
                output.print(table)
            time.sleep(interval)
            table = monitor.try_update()
