"""The report of `compute`: a table, with ratios to torch."""

from dataclasses import asdict

from loadtests.bench.compute.benchmark import REFERENCE, Measured, Measurements, Plan
from loadtests.load.percentiles import median
from loadtests.report.table import Cell, TableReport

COLUMNS = (
    "",
    "batch ms",
    "x torch",
    "alone ms",
    "alone x torch",
    "load s",
    "load CPU s",
    "own MB",
    "smallest cosine",
)
_NOTES = [
    "Milliseconds of the processor per input, medians of the rounds, one thread: in batches of the service's own rule "
    "(ONNX Runtime: eight of near length, padded), and one input at a time. x torch: times as fast as torch, median of "
    "the rounds' ratios.",
    "Load: of the service, as a replica loads it, with its imports; of ONNX Runtime, the session alone. "
    "Own MB: memory that no other process shares.",
    "Cosine: of the model's outputs with torch's, for each input alone.",
]


def report(plan: Plan, done: Measurements) -> TableReport:
    made = TableReport("compute", asdict(plan) | {"cpu_threads": 1}, COLUMNS, notes=list(_NOTES))
    for part, variants in done.items():
        made.rows += [(f"{part}: {variant}", *_cells(each, variants[REFERENCE])) for variant, each in variants.items()]
        made.notes += [f"{part}: {variant}: {each.refused}" for variant, each in variants.items() if each.refused]
    made.rounds = {f"{part} {variant}": [each] for part, found in done.items() for variant, each in found.items()}
    return made


def _cells(each: Measured, reference: Measured) -> tuple[Cell, ...]:
    if each.refused:
        return ("not run", *[None] * (len(COLUMNS) - 2))
    return (
        median(each.batches_ms),
        _ratio(reference.batches_ms, each.batches_ms),
        median(each.alone_ms),
        _ratio(reference.alone_ms, each.alone_ms),
        each.load_s,
        each.load_cpu_s,
        each.memory_mb,
        None if each.cosine is None else f"{each.cosine:.5f}",
    )


def _ratio(reference: list[float], own: list[float]) -> float:
    return median([theirs / ours for theirs, ours in zip(reference, own, strict=True)])
