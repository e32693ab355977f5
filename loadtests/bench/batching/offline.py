"""The limits: the same texts through the same model without a service, all known beforehand, on one thread.

Texts are tokenized before the clock runs, so a service that reaches the limit has tokenized, pooled, written JSON and
spoken HTTP for nothing. Runs in a process of its own, as the model's replica does.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from loadtests.processes.child import Child, take_orders
from loadtests.processes.environment import child_environment
from loadtests.traffic.texts import sample_texts

PACK_BUDGETS = (384, 512, 1024)
PADDED_ROWS = 8


@dataclass(frozen=True, slots=True)
class Pass:
    """All texts once through the model.

    Attributes:
        wall_s: time by the clock.
        cpu_s: time on the processor; a crowded machine stretches only the other one.
        padding: share of padding.
    """

    wall_s: float
    cpu_s: float
    padding: float


class Offline:
    """A model in a process of its own."""

    def __init__(self, child: Child) -> None:
        self._child = child

    def padded(self) -> Pass:
        """Length-sorted batches of eight, computed as transformers computes them."""
        return Pass(**self._child.order({"layout": "as-it-is"}))

    def padded_and_cut(self) -> Pass:
        """The same, with the tables of relative positions cut as the service cuts them."""
        return Pass(**self._child.order({"layout": "padded"}))

    def packed(self, budget: int) -> Pass:
        """In arrival order, up to so many tokens a batch."""
        return Pass(**self._child.order({"layout": "packed", "budget": budget}))

    def packed_and_recorded(self, budget: int) -> Pass:
        """The same from a recorded graph, as the service runs it."""
        return Pass(**self._child.order({"layout": "recorded", "budget": budget}))


@contextmanager
def offline(model: str, texts: int) -> Iterator[Offline]:
    """The model (as a configuration names it), ready to run so many sampled texts."""
    with Child(__name__, model, str(texts), environment=child_environment(threads=1)) as child:
        yield Offline(child)


class _Runner:
    """The child's side."""

    def __init__(self, model: str, texts: int) -> None:
        import torch

        from deployments import checkpoint
        from deployments.config import ModelConfig
        from deployments.layout import LaidOut, Layout, Packed, Padded
        from deployments.task import Row
        from deployments.tasks.feature_extraction import FeatureExtraction, Request

        torch.set_num_threads(1)

        class AsItIs(Padded):
            name = "as-it-is"
            cuts_positions = False

        class Recorded(Packed):
            name = "recorded"

            def run(self, rows: Sequence[Row]) -> LaidOut:
                with self.calls.recording():  # the first call, and from then on it is there
                    return super().run(rows)

        kind = FeatureExtraction
        loaded = checkpoint.load(ModelConfig(model=model), kind)
        task = kind(loaded)
        self._rows = [task.preprocess(Request(inputs=text)).rows[0] for text in sample_texts(texts)]
        kinds: tuple[type[Layout], ...] = (Packed, Recorded, Padded, AsItIs)
        self._layouts = {kind.name: kind(loaded.model, loaded.pad_token_id) for kind in kinds}

    def run(self, order: dict[str, Any]) -> dict[str, Any]:
        layout = self._layouts[order["layout"]]
        batches = _packs(self._rows, order["budget"]) if "budget" in order else _sorted_batches(self._rows)
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
        return asdict(Pass(wall, cpu, 1 - sum(_lengths(self._rows)) / area))


def _packs(rows: Sequence[Any], budget: int) -> list[list[Any]]:
    """Rows in arrival order, cut where the budget is full."""
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
    take_orders(_Runner(sys.argv[1], int(sys.argv[2])).run)
