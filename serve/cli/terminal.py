"""The terminal: consoles, logging, signals, and the end with an error."""

import logging
import os
import signal
import threading
from typing import NoReturn

import typer
from rich.console import Console
from rich.markup import escape

# Copies of the file descriptors: while Ray runs, its output to the originals is dropped.
console = Console(file=os.fdopen(os.dup(1), "w", buffering=1), highlight=False)
error_console = Console(file=os.fdopen(os.dup(2), "w", buffering=1), highlight=False)


def fail(message: str, output: Console = error_console) -> NoReturn:
    """Print an error, and exit with status 1."""
    output.print(f"[red]error:[/] {escape(message)}", soft_wrap=True)
    raise typer.Exit(1)


def configure_logging(verbose: bool) -> None:
    """Log errors only, or more if `verbose`."""
    logging.basicConfig(level=logging.INFO if verbose else logging.ERROR, format="%(levelname)s %(name)s: %(message)s")
    if not verbose:
        os.environ.setdefault("HF_HUB_VERBOSITY", "critical")  # it logs every retry; the final error is enough


def stop_on_signals(stop: threading.Event | None = None) -> threading.Event:
    """An event that is set on SIGINT and SIGTERM."""
    event = stop or threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: event.set())
    return event
