"""What is used of OpenVINO beyond its public interface; `tests/deployments/openvino/test_internals.py` runs all of it
on the pinned version.

The operation of paged attention, which OpenVINO's own servers put into a graph by a transformation that recognises the
attention of a few models' graphs.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deployments.errors import LoadError
from deployments.openvino.graph import import_openvino

OPERATION = "automodel_paged_attention"
VERSIONS = ("2026.4",)  # whose operation has the inputs of `_inputs`


def paged_attention(layers: Sequence[type[Any]]) -> list[Any]:
    """Extensions of `convert_model` that turn modules into paged attention.

    Such a module's arguments are queries, keys and values, `[tokens, heads * size]`; the blocks of keys and of values;
    `past_lens`, `subsequence_begins`, `block_indices`, `block_indices_begins`, `max_context_len`; the factor of the
    scores; and the window, 0 for none.

    Args:
        layers: classes of the modules.

    Raises:
        LoadError: this version of OpenVINO may have another operation.
    """
    openvino = import_openvino()
    version = openvino.get_version()
    if not version.startswith(VERSIONS):
        raise LoadError(f"paged attention is known for OpenVINO {', '.join(VERSIONS)}, and this is {version}")
    from openvino._pyopenvino.op import _PagedAttentionExtension
    from openvino.frontend.pytorch import ConversionExtension, ModuleExtension

    def convert(context: Any) -> list[Any]:
        return [_PagedAttentionExtension(_inputs([context.get_input(index) for index in range(12)])).output(0)]

    modules = [ModuleExtension(layer, OPERATION) for layer in layers]
    return [*modules, ConversionExtension(OPERATION, convert)]


def read_paged(path: Path) -> Any:
    """Read a graph with paged attention from its file."""
    core = import_openvino().Core()
    core.get_property("CPU", "FULL_DEVICE_NAME")  # only with its plugin loaded, the reader knows the operation
    return core.read_model(str(path))


def name_heads(graph: Any) -> None:
    """Tell the operations of a graph the heads of their caches, `[blocks, heads, tokens, size]`; no file keeps that."""
    for operation in graph.get_ops():
        if operation.get_type_name() != "PagedAttentionExtension":
            continue
        for kind, place in (("k", 3), ("v", 4)):
            _, heads, _, size = operation.input_value(place).get_partial_shape()
            operation.set_rt_info(heads.get_length(), f"num_{kind}_heads")
            operation.set_rt_info(size.get_length(), f"{kind}_head_size")


def _inputs(given: Sequence[Any]) -> list[Any]:
    """The operation's inputs: those given, and constants that turn its other abilities off."""
    import numpy as np
    from openvino import opset14

    def constant(kind: Any, *shape: int) -> Any:
        return opset14.constant(np.zeros(shape, kind)).output(0)

    *attention, max_context_len, scaling, window = given
    no_slopes, floats, integers = constant(np.float32, 0), constant(np.float32, 0), constant(np.int32, 0)
    zero = constant(np.int32)
    return [
        *attention,
        scaling,
        window,
        no_slopes,  # of ALiBi
        max_context_len,
        integers,  # window of aggregated scores
        *(integers, integers, floats),  # rotated blocks, their deltas, and the table of rotations
        *(floats, zero, zero),  # threshold, block size and stride of sparse attention
        constant(np.float32, 0, 0, 0, 0),  # attention sinks
        zero,  # start size of the adaptive eviction of blocks
        *(integers, integers, integers),  # its sizes, and the blocks of its diversity
        integers,
        constant(np.uint8, 0),  # biases between the queries of one call
        integers,
    ]
