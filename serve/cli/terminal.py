"""What the command line writes to, listens to, and how it ends with an error."""

import logging
import os
import signal
import threading
from typing import NoReturn

import typer
from rich.console import Console
from rich.markup import escape

# Copies of the terminal's descriptors: while Ray runs, what it writes to the originals is dropped.
console = Console(file=os.fdopen(os.dup(1), "w", buffering=1), highlight=False)
errors = Console(file=os.fdopen(os.dup(2), "w", buffering=1), highlight=False)


def end(message: str) -> NoReturn:
    """Say what is wrong, and end with status 1."""
    errors.print(f"[red]error:[/] {escape(message)}", soft_wrap=True)
    raise typer.Exit(1)


def log(verbose: bool) -> None:
    """Have the loggers of this process say little, or more."""
    logging.basicConfig(level=logging.INFO if verbose else logging.ERROR, format="%(levelname)s %(name)s: %(message)s")
    if not verbose:
        os.environ.setdefault("HF_HUB_VERBOSITY", "critical")  # it tells every retry; the error at the end says enough


def stop_on_signals(stop: threading.Event | None = None) -> threading.Event:
    """An event that SIGINT and SIGTERM set."""
    event = stop or threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: event.set())
    return event
