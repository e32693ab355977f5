"""`automodel-serve top`."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape

from serve.cli.top.client import ServiceClient, ServiceUnreachable
from serve.cli.top.monitor import Monitor

WIDTH = 140  # letters, where no terminal says how many there are


def top(
    url: Annotated[str, typer.Option(help="Where the service is.")] = "http://127.0.0.1:8000",
    key: Annotated[
        str | None,
        typer.Option(
            envvar="AUTOMODEL_SERVE_API_KEY", help="An API key, where the service asks for one.", show_default=False
        ),
    ] = None,
    interval: Annotated[float, typer.Option(min=0.5, metavar="SECONDS", help="Time between two looks.")] = 3.0,
    once: Annotated[bool, typer.Option("--once", help="Print one table after one interval, and end.")] = False,
    svg: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --once: draw the table into this file, too.")
    ] = None,
) -> None:
    """Show what every model of a running service does, again and again; Ctrl-C ends it."""
    if svg is not None and not once:
        raise typer.BadParameter("a picture is of one table: add --once", param_hint="--svg")
    console = console_of(svg is not None)
    try:
        with ServiceClient(url, key) as service:
            watching = Monitor(service, console)
            if once:
                time.sleep(interval)
                console.print(watching.look())
            else:
                _follow(watching, console, interval)
    except ServiceUnreachable as error:
        Console(stderr=True, highlight=False).print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        return
    if svg is not None:
        console.save_svg(str(svg), title="automodel-serve top")


def console_of(records: bool) -> Console:
    """The terminal's; wide enough for the whole table where there is none, or where a picture is made of it."""
    console = Console(highlight=False, record=records)
    return console if console.is_terminal and not records else Console(highlight=False, record=records, width=WIDTH)


def _follow(watching: Monitor, console: Console, interval: float) -> None:
    """One table that changes in place, or one after the other where there is no terminal."""
    table = watching.table()
    with Live(console=console, auto_refresh=False) if console.is_terminal else console as shown:
        while True:
            if isinstance(shown, Live):
                shown.update(table, refresh=True)
            else:
                shown.print(table)
            time.sleep(interval)
            table = watching.look_again()
