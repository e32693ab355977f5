"""A layout whose forwards run from an exported graph."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from deployments.batching.selection import Selection
from deployments.config import Batching
from deployments.contract.task import Row
from deployments.layouts.packing import gathered_lengths, head_positions
from deployments.layouts.text import Arrays, BatchOutput, Layout, Packed
from deployments.openvino.graph import Graph
from deployments.openvino.rectangle import rectangle

HEAD = "head_positions"


class GraphLayout(Layout):
    """Runs the forwards of a layout from its graph.

    Args:
        layout: arranges the rows.
        graph: exported for it.
    """

    def __init__(self, layout: Layout, graph: Graph) -> None:
        super().__init__(layout.model, layout.pad_token_id, nested=layout.nested)
        self.name = layout.name
        self._layout = layout
        self._graph = graph

    def arrays(self, rows: Sequence[Row]) -> Arrays:
        return self._layout.arrays(rows)

    def run(self, rows: Sequence[Row]) -> BatchOutput:
        arrays = self.arrays(rows)
        output = SimpleNamespace(**self._graph(graph_inputs(self._layout, arrays)))
        return BatchOutput(output, gathered_lengths(arrays.lengths, arrays.gather_positions))

    def selection(self, batching: Batching, device: str) -> Selection:
        return self._layout.selection(batching, device)

    def check_batches(self, rows: int) -> list[list[int]]:
        return self._layout.check_batches(rows)

    def padding(self, lengths: Sequence[int]) -> float:
        return self._layout.padding(lengths)


def graph_inputs(layout: Layout, arrays: Arrays) -> dict[str, Any]:
    """The inputs of a layout's graph: the model's, and where each row's positions are."""
    inputs = dict(arrays.inputs)
    if isinstance(layout, Packed):
        inputs |= rectangle(arrays.lengths, arrays.attended)
        inputs[HEAD] = head_positions(arrays.gather_positions, arrays.lengths, stride=None)
    elif any(positions is not None for positions in arrays.gather_positions):
        inputs[HEAD] = head_positions(arrays.gather_positions, arrays.lengths, stride=max(arrays.lengths))
    return inputs
