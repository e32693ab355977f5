"""What a person sees while a benchmark runs: a line per step, with the time since the start."""

import time
from collections.abc import Callable

from rich.console import Console

Say = Callable[[str], None]


def progress(console: Console) -> Say:
    began = time.monotonic()

    def say(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:5.0f} s[/]  {text}", highlight=False)

    return say
