"""Building embedded models before the service starts, with a progress bar for each."""

from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from deployments.checkpoints.files import EMBEDDED_PREFIX, resolve


def show_notices(console: Console, models: Sequence[str]) -> None:
    """Print the license notices of embedded models that are built for the first time, here or on another node."""
    from deployments.zoo.embedded import notices

    for notice in notices(model.removeprefix(EMBEDDED_PREFIX) for model in models):
        console.print(Padding(Text(notice), (0, 0, 1, 0)))


def build_embedded(console: Console, models: Sequence[str]) -> None:
    """Build embedded models that are not in the cache yet, with a progress bar for each."""
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    show_notices(console, models)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[stage]}"), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        for model in models:
            bar = progress.add_task(model, total=1.0, stage="", visible=False)

            def show(stage: str, fraction: float, bar: TaskID = bar) -> None:
                progress.update(bar, completed=fraction, stage=stage, visible=True)

            resolve(model, show)
