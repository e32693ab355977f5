"""Quantises a graph to int8 by NNCF, after training: weights by channel, activations by ranges seen on examples.

Of a model that generates, the weights alone are compressed: a step reads all of them for a few tokens.

Activations of transformers have outliers in a few channels. SmoothQuant (Xiao et al., 2023) moves them into the
weights, by factors that it takes from the calibration; with few or similar examples these do not hold for other inputs.
Both graphs are made, with it and without, and the caller keeps the closer one. Needs the extra `int8`, and no torch.

Weights have 7 bits: CPUs without VNNI add products of 8 bits in 16, which overflow, so that the same graph would answer
otherwise there than on CPUs that have it.
"""

import contextlib
import logging
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from deployments.contract.task import Prepared, Row
from deployments.errors import LoadError
from deployments.layouts.text import Layout
from deployments.openvino.graph import import_openvino
from deployments.openvino.layouts import graph_inputs

ATTENTION = {"ScaledDotProductAttention", "Softmax"}  # operations that only a model with attention has inside
ROWS_TOGETHER = 4  # rows of a calibrated forward; the ranges do not depend on it, the time does


def quantized_graphs(graph: Path, layout: Layout, items: Sequence[Prepared]) -> Iterator[Any]:
    """int8 graphs of a float32 graph.

    Args:
        graph: the XML file.
        layout: that it was exported for.
        items: whose activations set the ranges.

    Raises:
        LoadError: NNCF is not installed.
        Exception: of many kinds, if it cannot quantise the graph.
    """
    nncf = import_nncf()
    inputs = [graph_inputs(layout, layout.arrays(rows)) for rows in _forwards(layout, items)]
    for options in _ways(nncf, import_openvino().Core().read_model(str(graph))):
        with contextlib.redirect_stdout(sys.stderr):  # progress bars; the output is for the caller's protocol
            source = import_openvino().Core().read_model(str(graph))
            yield nncf.quantize(source, nncf.Dataset(inputs), subset_size=len(inputs), **options)


def compress_weights(graph: Any) -> Any:
    """The graph with its weights in 8 bits, each channel with a scale and a zero point; it computes in float32.

    Raises:
        LoadError: NNCF is not installed.
    """
    nncf = import_nncf()
    with contextlib.redirect_stdout(sys.stderr):
        return nncf.compress_weights(graph, mode=nncf.CompressWeightsMode.INT8_ASYM)


def _ways(nncf: Any, graph: Any) -> Iterator[dict[str, Any]]:
    """Options worth trying: of a model with attention, with and without SmoothQuant."""
    from nncf.quantization.advanced_parameters import (
        AdvancedQuantizationParameters,
        AdvancedSmoothQuantParameters,
        OverflowFix,
    )

    fix = {"overflow_fix": OverflowFix.ENABLE}
    if not ATTENTION & {operation.get_type_name() for operation in graph.get_ops()}:
        mixed = nncf.QuantizationPreset.MIXED  # activations that are not symmetric around 0, such as swish's
        yield {"preset": mixed, "advanced_parameters": AdvancedQuantizationParameters(**fix)}
        return
    unsmoothed = AdvancedSmoothQuantParameters(matmul=-1, convolution=-1)
    for advanced in ({"smooth_quant_alphas": unsmoothed}, {}):
        parameters = AdvancedQuantizationParameters(**fix, **advanced)
        yield {"model_type": nncf.ModelType.TRANSFORMER, "advanced_parameters": parameters}


def is_available() -> bool:
    """Whether NNCF is installed."""
    return find_spec("nncf") is not None


def import_nncf() -> Any:
    """The module `nncf`, imported so that it reports nothing.

    Raises:
        LoadError: it is not installed.
    """
    import_openvino()  # forbids the reports
    try:
        import nncf
    except ImportError as error:
        raise LoadError(
            f"dtype: int8 is quantised by NNCF, which is not installed ({error}); build it where "
            "`pip install 'automodel-serve[int8]'` was run"
        ) from None
    nncf.set_log_level(logging.ERROR)
    return nncf


def _forwards(layout: Layout, items: Sequence[Prepared]) -> Iterator[list[Row]]:
    """The rows of calibrated forwards: together where the layout takes rows of different lengths, else alone."""
    groups: dict[Any, list[Row]] = {}
    for item in items:
        groups.setdefault(item.params, []).extend(item.rows)
    for rows in groups.values():
        order = layout.check_batches(len(rows))
        for batch in order:
            for start in range(0, len(batch), ROWS_TOGETHER):
                yield [rows[index] for index in batch[start : start + ROWS_TOGETHER]]
