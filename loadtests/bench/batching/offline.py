"""The offline passes of `batching`: the same texts through the same model without a service, on one thread.

Texts are tokenized before the measurement. So a service that is as fast as an offline pass does tokenization, pooling,
JSON and HTTP at no cost. The model is in a process of its own, as in a replica.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from loadtests.processes.child import Child, answer_calls
from loadtests.processes.environment import child_environment
from loadtests.traffic.texts import sample_texts

PACK_BUDGETS = (384, 512, 1024)
PADDED_ROWS = 8


@dataclass(frozen=True, slots=True)
class OfflinePass:
    """All texts through the model once.

    Attributes:
        wall_s: elapsed time.
        cpu_s: CPU time, which a busy machine affects less.
        padding: share of padding.
    """

    wall_s: float
    cpu_s: float
    padding: float


class Offline:
    """A model in a process of its own."""

    def __init__(self, child: Child) -> None:
        self._child = child

    def padded(self) -> OfflinePass:
        """Length-sorted batches of eight rows, computed as by transformers."""
        return OfflinePass(**self._child.call({"layout": "full-table"}))

    def padded_and_sliced(self) -> OfflinePass:
        """The same, with the tables of relative positions sliced as by the service."""
        return OfflinePass(**self._child.call({"layout": "padded"}))

    def packed(self, budget: int) -> OfflinePass:
        """Batches in arrival order, of at most this number of tokens."""
        return OfflinePass(**self._child.call({"layout": "packed", "budget": budget}))

    def packed_and_traced(self, budget: int) -> OfflinePass:
        """The same, run from a traced graph as by the service."""
        return OfflinePass(**self._child.call({"layout": "traced", "budget": budget}))


@contextmanager
def offline(model: str, texts: int) -> Iterator[Offline]:
    """Load a model, named as in a configuration, and prepare this number of sample texts."""
    with Child(__name__, model, str(texts), environment=child_environment(threads=1)) as child:
        yield Offline(child)


class _Runner:
    """The child's side."""

    def __init__(self, model: str, texts: int) -> None:
        import torch

        from deployments.config import ModelConfig
        from deployments.contract.task import Row
        from deployments.layouts.text import BatchOutput, Layout, Packed, Padded
        from deployments.tasks.feature_extraction import FeatureExtraction, Request

        torch.set_num_threads(1)

        class FullTable(Padded):
            name = "full-table"
            cuts_positions = False

        class Traced(Packed):
            name = "traced"

            def run(self, rows: Sequence[Row]) -> BatchOutput:
                with self.calls.tracing():  # traces at the first call
                    return super().run(rows)

        kind = FeatureExtraction
        loaded = kind.load_checkpoint(ModelConfig(model=model))
        task = kind(loaded)
        self._rows = [task.preprocess(Request(inputs=text)).rows[0] for text in sample_texts(texts)]
        kinds: tuple[type[Layout], ...] = (Packed, Traced, Padded, FullTable)
        self._layouts = {kind.name: kind(loaded.model, loaded.pad_token_id) for kind in kinds}

    def run(self, call: dict[str, Any]) -> dict[str, Any]:
        layout = self._layouts[call["layout"]]
        batches = _packs(self._rows, call["budget"]) if "budget" in call else _sorted_batches(self._rows)
        layout.attach()
        try:
            layout.run(batches[0])  # the first call of a shape is slower
            wall, cpu = time.perf_counter(), time.process_time()
            for batch in batches:
                layout.run(batch)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        finally:
            layout.detach()
        area = sum(sum(row.length for row in batch) / (1 - layout.padding(_lengths(batch))) for batch in batches)
        return asdict(OfflinePass(wall, cpu, 1 - sum(_lengths(self._rows)) / area))


def _packs(rows: Sequence[Any], budget: int) -> list[list[Any]]:
    """Rows in arrival order; a new batch begins when the budget is full."""
    packs: list[list[Any]] = [[]]
    for row in rows:
        if packs[-1] and sum(_lengths(packs[-1])) + row.length > budget:
            packs.append([])
        packs[-1].append(row)
    return packs


def _sorted_batches(rows: Sequence[Any]) -> list[list[Any]]:
    ordered = sorted(rows, key=lambda row: int(row.length))
    return [ordered[start : start + PADDED_ROWS] for start in range(0, len(ordered), PADDED_ROWS)]


def _lengths(rows: Sequence[Any]) -> list[int]:
    return [row.length for row in rows]


if __name__ == "__main__":
    answer_calls(_Runner(sys.argv[1], int(sys.argv[2])).run)
