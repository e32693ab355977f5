"""Progress messages on the terminal, each with the time since the start."""

import time
from collections.abc import Callable

from rich.console import Console

Log = Callable[[str], None]


def progress_log(console: Console) -> Log:
    began = time.monotonic()

    def log(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:5.0f} s[/]  {text}", highlight=False)

    return log
