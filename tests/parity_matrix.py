"""docs/parity.md: the parity of every family of the tests, as `automodel-serve parity` measures it.

`python -m tests.parity_matrix` writes the page; it takes a few minutes on one core. `--only TEXT` prints the rows whose
task or architecture contains a text, and writes nothing.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from deployments.config import ModelConfig
from deployments.contract.task import Task
from deployments.errors import LoadError
from deployments.registry import KINDS, task_of
from deployments.text.task import TextTask
from deployments.text.two_towers import TwoTowers
from serve.cli.parity.command import agreement_of, inputs_of, number_of
from serve.cli.parity.measurement import RUNS, Parity, Service, parity_of
from serve.routes import RouteTable
from tests import captioning_checkpoints, media_checkpoints, speech_checkpoints, two_towers_checkpoints
from tests.checkpoints import FAMILIES, small_checkpoint
from tests.media_checkpoints import small_media_checkpoint
from tests.writing_checkpoints import DECODERS, ENCODER_DECODERS, writing_checkpoint

PAGE = Path(__file__).parents[1] / "docs/parity.md"
BEGIN, END = "<!-- parity: begin -->", "<!-- parity: end -->"
POOLED = {"pooling": {"mode": "mean", "normalize": True}}


@dataclass(frozen=True, slots=True)
class Cell:
    """One family of a task.

    Attributes:
        kind: the task.
        family: its name in the tests.
        make: saves its checkpoint into a folder.
        settings: of its configuration.
    """

    kind: type[Task[Any, Any]]
    family: str
    make: Callable[[Path], Any]
    settings: dict[str, Any]


def cells() -> Iterator[Cell]:
    """Every family of every task, in the order of the registry."""
    for kind in KINDS:
        for family in families_of(kind):
            settings = POOLED if kind.auto_model == "AutoModel" and kind.medium == "text" else {}
            yield Cell(kind, family, _maker(kind, family), settings)


def families_of(kind: type[Task[Any, Any]]) -> Sequence[str]:
    """The families of the tests for a task."""
    if issubclass(kind, TwoTowers):
        towers = two_towers_checkpoints
        return towers.IMAGE_FAMILIES if kind.medium == "image" else towers.AUDIO_FAMILIES
    if issubclass(kind, TextTask):
        return FAMILIES
    return {
        "AutoModelForCTC": media_checkpoints.CTC_FAMILIES,
        "AutoModelForSpeechSeq2Seq": (*speech_checkpoints.WHISPER, *speech_checkpoints.OTHERS),
        "AutoModelForCausalLM": DECODERS,
        "AutoModelForSeq2SeqLM": ENCODER_DECODERS,
        "AutoModelForImageTextToText": (*captioning_checkpoints.FAMILIES, *captioning_checkpoints.MORE_FAMILIES),
    }.get(
        kind.auto_model,
        media_checkpoints.IMAGE_FAMILIES if kind.medium == "image" else media_checkpoints.AUDIO_FAMILIES,
    )


def _maker(kind: type[Task[Any, Any]], family: str) -> Callable[[Path], Any]:
    head = kind.auto_model.removeprefix("AutoModel").removeprefix("For")
    if issubclass(kind, TwoTowers):
        return lambda folder: two_towers_checkpoints.two_towers_checkpoint(folder, family)
    if issubclass(kind, TextTask):
        return lambda folder: small_checkpoint(folder, family, head)
    makers: dict[str, Callable[[Path], Any]] = {
        "AutoModelForSpeechSeq2Seq": lambda folder: speech_checkpoints.speech_checkpoint(folder, family),
        "AutoModelForCausalLM": lambda folder: writing_checkpoint(folder, family),
        "AutoModelForSeq2SeqLM": lambda folder: writing_checkpoint(folder, family),
        "AutoModelForImageTextToText": lambda folder: captioning_checkpoints.captioning_checkpoint(folder, family),
    }
    return makers.get(kind.auto_model, lambda folder: small_media_checkpoint(folder, family, head))


def measured(cell: Cell, root: Path) -> Parity:
    """The parity of one cell, in this process."""
    import torch

    torch.manual_seed(0)  # some families draw weights when they are made
    name = f"{cell.family}-{cell.kind.__name__}"
    cell.make(root / name)
    config = ModelConfig.model_validate(
        {"model": str(root / name), "name": cell.family, "device": "cpu", "task": cell.kind.name, **cell.settings}
    )
    (route,) = RouteTable([(cell.family, task_of(config))]).routes
    try:
        return parity_of(config, route, None, Service())
    except LoadError as error:
        return Parity(cell.family, route.task, cell.kind.auto_model, verdict="failed", reason=str(error))


def row(found: Parity) -> str:
    """A line of the page's table."""
    numbers = [number_of(found, name) for name in RUNS]
    entries = [found.task, f"`{found.auto_model}`", found.model, f"`{found.architecture}`", found.mode]
    return f"| {' | '.join([*entries, inputs_of(found), *numbers, agreement_of(found), found.verdict])} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="part of a task's or family's name")
    only = parser.parse_args().only
    import torch

    torch.set_num_threads(1)
    found = []
    with TemporaryDirectory() as folder:
        for cell in cells():
            if only in f"{cell.kind.name} {cell.kind.auto_model} {cell.family}":
                found.append(measured(cell, Path(folder)))
                print(row(found[-1]), flush=True)
                for note in _notes(found[-1]):
                    print("   ", note, file=sys.stderr, flush=True)
    if not only:
        write(found)


def _notes(found: Parity) -> list[str]:
    """What differs, failed or was skipped, for whoever runs this."""
    wrong = [f"{name}: {len(run.wrong)}, {run.wrong[0]}" for name, run in found.runs.items() if run.wrong]
    skipped = [f"skipped {len(found.skipped)}: {found.skipped[0]}"] if found.skipped else []
    dull = [f"only {found.distinct} different answers"] if found.distinct <= found.inputs / 2 else []
    return [*dull, *([found.reason] if found.reason else []), *wrong, *skipped]


def write(found: Sequence[Parity]) -> None:
    """Write the table into the page, between its marks."""
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n{table(found)}\n{END}{after}", encoding="utf-8")


def summary(lines: Sequence[str]) -> str:
    """A row for each class of transformers, from the rows of its families."""
    classes: dict[str, list[list[str]]] = {}
    for line in lines:
        entries = [entry.strip() for entry in line[1:-1].split("|")]
        classes.setdefault(entries[1], []).append(entries)
    made = ["| class | families | architectures | equal | largest difference |", "|---|---|---|---|---|"]
    for name, families in classes.items():
        numbers = [float(entry) for entries in families for entry in entries[6:9] if entry != "–"]
        counts = (len(families), len({entries[3] for entries in families}), sum(e[-1] == "equal" for e in families))
        largest = f"{max(numbers):.1e}" if numbers else "–"
        made.append(f"| {name} | {' | '.join(map(str, counts))} | {largest} |")
    return "\n".join(made)


def table(found: Sequence[Parity]) -> str:
    """The summary, and a row for each family."""
    head = ("task", "class", "family", "architecture", "mode", "inputs", *RUNS, "agreement", "verdict")
    rows = [*map(row, found)]
    families = [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *rows]
    return "\n".join([summary(rows), "", *families])


if __name__ == "__main__":
    os.environ["HF_HUB_OFFLINE"] = "1"
    main()
