"""Dequantisation against numbers worked out by hand, and refusal of everything that is not understood."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deployments.zoo.onnx_weights import (
    UnknownQuantisation,
    dequantise_blocks,
    dequantise_table,
    read_weights,
    unpack_nibbles,
)

onnx = pytest.importorskip("onnx")

PACKED = np.array([[[0x98, 0x07]], [[0x0F, 0xA8]]], dtype=np.uint8)  # two rows, one block of four 4-bit numbers each
SCALES = np.array([0.5, 2.0], dtype=np.float32)
EXPECTED = np.array(
    [[0.0, 0.5, -0.5], [14.0, -16.0, 0.0]], dtype=np.float32
)  # (8,9,7,.) - 8 halved; (15,0,8,.) - 8 doubled


def test_the_low_half_of_a_byte_comes_first() -> None:
    assert unpack_nibbles(np.array([[0x98, 0x07]], dtype=np.uint8)).tolist() == [[8, 9, 7, 0]]


def test_blocks_without_zero_points_are_centred_on_eight() -> None:
    np.testing.assert_array_equal(dequantise_blocks(PACKED, SCALES, None, inputs=3), EXPECTED)


def test_blocks_with_zero_points() -> None:
    zero_points = np.array([0x07, 0x0F], dtype=np.uint8)  # one block a row: the high halves are padding
    expected = [[0.5, 1.0, 0.0], [0.0, -30.0, -14.0]]
    np.testing.assert_array_equal(dequantise_blocks(PACKED, SCALES, zero_points, inputs=3), expected)


def test_every_block_of_a_row_has_its_own_scale() -> None:
    packed = np.array([[[0x99], [0x77]]], dtype=np.uint8)  # one row, two blocks of two
    np.testing.assert_array_equal(
        dequantise_blocks(packed, np.array([1.0, 10.0], dtype=np.float32), None, inputs=4), [[1, 1, -10, -10]]
    )


def test_table() -> None:
    table = np.array([[0, 128, 255]], dtype=np.uint8)
    scale, zero = np.array(0.25, dtype=np.float32), np.array(128, dtype=np.uint8)
    np.testing.assert_array_equal(dequantise_table(table, scale, zero), [[-32.0, 0.0, 31.75]])
    np.testing.assert_array_equal(dequantise_table(table, scale, None), [[0.0, 32.0, 63.75]])


def write(path: Path, nodes: list[object], tensors: dict[str, Any]) -> Path:
    """Write an ONNX file of the given nodes and stored tensors; its inputs and outputs do not matter here."""
    stored = [onnx.numpy_helper.from_array(value, name) for name, value in tensors.items()]
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph(nodes, "graph", [], [], stored)), path)
    return path


def matmul(inputs: list[str], **changes: int) -> object:
    """Return a MatMulNBits node of module `encoder.dense`, 3 inputs, 2 outputs, blocks of 4."""
    settings = {"K": 3, "N": 2, "bits": 4, "block_size": 4, **changes}
    name = "/encoder/dense/MatMul_Q4"
    return onnx.helper.make_node("MatMulNBits", inputs, ["y"], name=name, domain="com.microsoft", **settings)


def test_weights_get_the_names_of_their_modules(tmp_path: Path) -> None:
    nodes = [
        onnx.helper.make_node("Gather", ["table", "ids"], ["rows"], name="/words/Gather"),
        onnx.helper.make_node(
            "DequantizeLinear", ["rows", "table_scale", "table_zero"], ["x"], name="/words/Dequantize"
        ),
        matmul(["x", "onnx::MatMul_1_Q4", "onnx::MatMul_1_scales"]),
        onnx.helper.make_node("Add", ["y", "encoder.dense.bias"], ["z"], name="/encoder/dense/Add"),
    ]
    tensors = {
        "table": np.array([[1, 3], [5, 7]], dtype=np.uint8),
        "table_scale": np.array(0.5, dtype=np.float32),
        "table_zero": np.array(3, dtype=np.uint8),
        "onnx::MatMul_1_Q4": PACKED,
        "onnx::MatMul_1_scales": SCALES.reshape(2, 1),
        "encoder.dense.bias": np.array([1.0, 2.0], dtype=np.float32),
    }
    fractions: list[float] = []
    weights = read_weights(write(tmp_path / "tiny.onnx", nodes, tensors), fractions.append)
    assert sorted(weights) == ["encoder.dense.bias", "encoder.dense.weight", "words.weight"]
    np.testing.assert_array_equal(weights["encoder.dense.weight"], EXPECTED)
    np.testing.assert_array_equal(weights["words.weight"], [[-1.0, 0.0], [1.0, 2.0]])
    np.testing.assert_array_equal(weights["encoder.dense.bias"], [1.0, 2.0])
    assert {value.dtype for value in weights.values()} == {np.dtype(np.float32)}
    assert fractions == [0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize("changes", [{"bits": 8}, {"bits": 2}, {"block_size": 2}, {"N": 3}])
def test_other_bit_widths_and_shapes_are_refused(tmp_path: Path, changes: dict[str, int]) -> None:
    tensors = {"q": PACKED, "s": SCALES.reshape(2, 1)}
    path = write(tmp_path / "tiny.onnx", [matmul(["x", "q", "s"], **changes)], tensors)
    with pytest.raises(UnknownQuantisation, match="4-bit"):
        read_weights(path, lambda fraction: None)


def test_reordered_columns_are_refused(tmp_path: Path) -> None:
    tensors = {"q": PACKED, "s": SCALES.reshape(2, 1), "order": np.array([2, 1, 0], dtype=np.int32)}
    path = write(tmp_path / "tiny.onnx", [matmul(["x", "q", "s", "", "order"])], tensors)
    with pytest.raises(UnknownQuantisation, match="reordered"):
        read_weights(path, lambda fraction: None)


@pytest.mark.parametrize(
    ("operator", "stored"),
    [
        ("MatMul", np.ones((2, 2), dtype=np.float32)),  # a weight whose name was lost
        ("MatMulInteger", np.ones((2, 2), dtype=np.int8)),
        ("DequantizeLinear", np.ones((2, 2), dtype=np.int8)),
    ],
)
def test_weights_in_other_forms_are_refused_rather_than_lost(tmp_path: Path, operator: str, stored: np.ndarray) -> None:
    node = onnx.helper.make_node(operator, ["onnx::MatMul_7", "scale"], ["y"], name="/dense/Node")
    path = write(tmp_path / "tiny.onnx", [node], {"onnx::MatMul_7": stored, "scale": np.array(1, dtype=np.float32)})
    with pytest.raises(UnknownQuantisation, match="/dense/Node"):
        read_weights(path, lambda fraction: None)


def test_an_embedding_without_its_scale_is_refused(tmp_path: Path) -> None:
    node = onnx.helper.make_node("Gather", ["table", "ids"], ["rows"], name="/words/Gather")
    path = write(tmp_path / "tiny.onnx", [node], {"table": np.ones((2, 2), dtype=np.uint8)})
    with pytest.raises(UnknownQuantisation, match="a single scale"):
        read_weights(path, lambda fraction: None)
