"""Makes the build of a model: exports its forwards, and keeps the graph if it answers as torch does. Needs torch."""

import logging
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from deployments.contract.task import Row
from deployments.errors import LoadError
from deployments.layouts.check import Reference, first_layout, tolerance
from deployments.layouts.task import ForwardTask
from deployments.layouts.text import Layout
from deployments.openvino.agreement import Agreement, agreement_of, run_alone
from deployments.openvino.calibration import Items, items_for
from deployments.openvino.export import WAYS, Export, exportable
from deployments.openvino.graph import Graph, import_openvino, reason_of
from deployments.openvino.layouts import GraphLayout, graph_inputs
from deployments.openvino.manifest import GRAPH, REFERENCE, WEIGHTS, Manifest, versions
from deployments.openvino.precision import HINTS, is_exact
from deployments.openvino.quantize import quantized_graphs

logger = logging.getLogger(__name__)

REFERENCE_WORDS = (3, 24)  # lengths of the examples that a replica runs before it is ready
EXAMPLE_ROWS = 5  # of the forward that is exported; enough to have rows of several lengths


def build_model(task: ForwardTask[Any, Any], folder: Path, dtype: str | None = None) -> Manifest:
    """Export the model of a task into a folder.

    The graph is that of the layout that torch would serve in, so that no model is slower with it. It is compared as
    layouts are: rows of all lengths and unusual ones, together, with what torch answers to them alone. For another
    dtype than float32, the graph that passes is computed in it or quantised, and its difference from torch measured.

    Args:
        task: loaded, on a CPU, in float32.
        folder: empty.
        dtype: that the build computes in; None is float32.

    Returns:
        The manifest, not yet written. If torch must answer, it says why.

    Raises:
        LoadError: the model cannot be served at all.
    """
    if reason := task.needs_torch():
        return Manifest(refused=reason, versions=versions())
    try:
        facts = task.facts()
    except LoadError as error:
        return Manifest(refused=str(error), versions=versions())
    reference = Reference(task)
    layout, _, _ = first_layout(task, reference, task.checkpoint.config.batching.layout)
    refused = []
    for way in WAYS:
        try:
            graph = _exported(task, layout, way, reference.rows)
            difference = reference.difference(GraphLayout(layout, Graph(graph, task.outputs)))
        except Exception as error:  # models fail in many ways where they are exported; the next way is tried
            refused.append(f"{way.__name__}: {reason_of(error)}")
        else:
            if difference <= tolerance(task):
                _write(task, graph, folder)
                exact = Manifest("", layout.name, layout.trims, difference, facts, versions())
                return exact if is_exact(dtype) else _in_dtype(task, layout, folder, dtype, exact)
            refused.append(f"{way.__name__}: outputs differ from torch's by {difference:.1e}")
        logger.info("%s: not exported by %s", task.checkpoint.config.name, refused[-1])
    return Manifest(refused="; ".join(refused), versions=versions())


def _in_dtype(
    task: ForwardTask[Any, Any], layout: Layout, folder: Path, dtype: str | None, exact: Manifest
) -> Manifest:
    """The manifest of a build in another dtype; the folder has the float32 graph, and gets the graph of that dtype.

    Raises:
        LoadError: it cannot be made, or its outputs are not finite.
    """
    import numpy as np

    items = items_for(task, task.checkpoint.config.calibration)
    expected = run_alone(task, task.layouts()[-1], items.measured)
    best: tuple[Agreement, Any] | None = None
    for graph in _candidates(layout, folder, dtype, items):
        compiled = Graph(graph, task.outputs, precision=HINTS[dtype])
        outputs = run_alone(task, GraphLayout(layout, compiled), items.measured)
        agreement = agreement_of(outputs, expected, task.labels_of)
        logger.info("%s in %s differs from torch %s", task.checkpoint.config.name, dtype, agreement)
        if np.isfinite(agreement.largest_difference) and (best is None or _is_closer(agreement, best[0])):
            best = agreement, graph
    if best is None:
        raise LoadError(f"dtype: {dtype}: the outputs are not finite")
    agreement, graph = best
    facts = exact.facts
    if not isinstance(graph, Path):
        _replace_graph(graph, folder)
        assert facts is not None
        facts = replace(facts, weight_bytes=(folder / WEIGHTS).stat().st_size)
    return replace(exact, difference=agreement.largest_difference, facts=facts, agreement=agreement)


def _replace_graph(graph: Any, folder: Path) -> None:
    """Save a graph in place of the one that it was made of, whose file its weights may still be mapped from."""
    import_openvino().save_model(graph, str(folder / f"new-{GRAPH}"), compress_to_fp16=False)
    for name in (GRAPH, WEIGHTS):
        (folder / f"new-{name}").replace(folder / name)


def _candidates(layout: Layout, folder: Path, dtype: str | None, items: Items) -> Iterator[Any]:
    """Graphs that compute in a dtype: models of OpenVINO, or the path of the float32 graph."""
    if dtype != "int8":
        yield folder / GRAPH
        return
    yield from quantized_graphs(folder / GRAPH, layout, items.calibrated)


def _is_closer(agreement: Agreement, other: Agreement) -> bool:
    """By cosine; by the largest difference where the outputs are single numbers."""
    if agreement.smallest_cosine is None or other.smallest_cosine is None:
        return agreement.largest_difference < other.largest_difference
    return agreement.smallest_cosine > other.smallest_cosine


def reference_rows(task: ForwardTask[Any, Any]) -> list[tuple[Row, Hashable]]:
    """The rows whose outputs a build keeps."""
    prepared = [task.preprocess(example) for words in REFERENCE_WORDS for example in task.sized_examples(words)]
    return [(item.rows[0], item.params) for item in prepared]


def _exported(task: ForwardTask[Any, Any], layout: Layout, way: Export, rows: Sequence[tuple[Row, Hashable]]) -> Any:
    params = rows[0][1]
    shortest = sorted((row for row, its in rows if its == params), key=lambda row: row.length)
    lengths = {row.length: row for row in shortest if row.length > 1} or {0: shortest[0]}
    examples = [*lengths.values()][:EXAMPLE_ROWS]
    examples = examples if len(examples) > 1 else examples * 2  # a dimension of 1 would stay 1
    with exportable(layout, task.outputs) as module:
        return way(module, graph_inputs(layout, layout.arrays(examples)), task.has_one_shape())


def _write(task: ForwardTask[Any, Any], graph: Any, folder: Path) -> None:
    """The graph, the model's configuration, and the outputs of its reference rows."""
    import numpy as np

    openvino = import_openvino()
    openvino.save_model(graph, str(folder / GRAPH), compress_to_fp16=False)
    task.checkpoint.model.config.save_pretrained(folder)
    alone = task.layouts()[-1]
    alone.attach()
    task.layout = alone
    outputs = [task.forward([row], params)[0] for row, params in reference_rows(task)]
    alone.detach()
    np.savez(folder / REFERENCE, *outputs)
