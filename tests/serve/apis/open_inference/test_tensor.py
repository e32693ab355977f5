"""Tensors as JSON and as bytes: every datatype comes back as it went, as Triton's own library reads and writes them."""

from math import prod
from typing import Any

import ml_dtypes
import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor

from deployments.errors import InvalidInput, MalformedRequest
from serve.apis.open_inference.tensor import (
    BINARY_ONLY,
    NUMBERS,
    Tensor,
    from_bytes,
    from_json,
    object_array,
    to_bytes,
    to_json,
)

SHAPES = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
JSON_NUMBERS = sorted(set(NUMBERS) - set(BINARY_ONLY))


@st.composite
def numbers(draw: Any, datatypes: list[str]) -> Tensor:
    datatype = draw(st.sampled_from(datatypes))
    dtype = NUMBERS[datatype]
    options = {"allow_nan": False, "allow_infinity": False} if dtype.kind == "f" else {}
    elements = arrays.from_dtype(dtype, **options)
    return Tensor("x", datatype, draw(arrays.arrays(dtype, draw(SHAPES), elements=elements)))


@st.composite
def texts(draw: Any, kind: Any) -> Tensor:
    shape = draw(SHAPES)
    elements = draw(st.lists(kind, min_size=prod(shape), max_size=prod(shape)))
    return Tensor("x", "BYTES", object_array(elements, shape))


@given(numbers(sorted(set(NUMBERS) - {"BF16"})))
def test_numbers_come_back_from_bytes(tensor: Tensor) -> None:
    data = to_bytes(tensor)
    assert data == tensor.values.tobytes()
    read = from_bytes("x", tensor.datatype, tensor.shape, data)
    assert read.dtype == NUMBERS[tensor.datatype]
    np.testing.assert_array_equal(read, tensor.values)


@given(numbers(JSON_NUMBERS), st.booleans())
def test_numbers_come_back_from_json(tensor: Tensor, nested: bool) -> None:
    flat = orjson.loads(orjson.dumps(to_json(tensor), option=orjson.OPT_SERIALIZE_NUMPY))
    read = from_json("x", tensor.datatype, tensor.shape, tensor.values.tolist() if nested else flat)
    np.testing.assert_array_equal(read, tensor.values)
    assert read.dtype == NUMBERS[tensor.datatype]


@given(texts(st.binary(max_size=5)))
def test_elements_of_bytes_come_back_as_triton_writes_them(tensor: Tensor) -> None:
    data = to_bytes(tensor)
    triton = serialize_byte_tensor(tensor.values)
    assert data == (triton.item() if triton.size else b"")
    assert list(deserialize_bytes_tensor(data)) == list(tensor.values.ravel())
    read = from_bytes("x", "BYTES", tensor.shape, data)
    assert read.shape == tensor.shape
    assert read.tolist() == tensor.values.tolist()


@given(texts(st.text(max_size=5)))
def test_texts_come_back_from_json(tensor: Tensor) -> None:
    read = from_json("x", "BYTES", tensor.shape, orjson.loads(orjson.dumps(to_json(tensor))))
    assert read.tolist() == tensor.values.tolist()


@given(arrays.arrays(np.float32, SHAPES, elements=st.floats(-(2.0**100), 2.0**100, width=32)))
def test_bf16_is_the_upper_half_of_fp32(values: Any) -> None:
    rounded = values.astype(ml_dtypes.bfloat16)
    read = from_bytes("x", "BF16", values.shape, rounded.tobytes())
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, rounded.astype(np.float32))


def shape_or_message(read: Any, datatype: str, shape: tuple[int, ...], data: Any) -> Any:
    """The shape of what was read, or "named" where the error says which tensor is wrong."""
    try:
        return read("some name", datatype, shape, data).shape
    except (InvalidInput, MalformedRequest) as error:
        return "named" if error.message.startswith("input 'some name': ") else error.message


@given(st.binary(max_size=40), st.sampled_from([*NUMBERS, "BYTES"]), st.lists(st.integers(-1, 2**40), max_size=10))
def test_any_bytes_are_read_or_refused(data: bytes, datatype: str, shape: list[int]) -> None:
    assert shape_or_message(from_bytes, datatype, tuple(shape), data) in (tuple(shape), "named")


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)
)


@given(JSONS, st.sampled_from([*NUMBERS, "BYTES"]), st.lists(st.integers(0, 3), max_size=3))
def test_any_json_is_read_or_refused(data: Any, datatype: str, shape: list[int]) -> None:
    assert shape_or_message(from_json, datatype, tuple(shape), data) in (tuple(shape), "named")


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "message"),
    [
        ("INT64", (2,), [1.5, 2], "data should contain integers"),
        ("INT64", (1,), [True], "data should contain integers"),
        ("INT8", (1,), [300], "a number out of range for INT8"),
        ("UINT32", (1,), [-1], "a number out of range for UINT32"),
        ("INT64", (1,), [2**70], "a number out of range for INT64"),
        ("FP32", (1,), ["1"], "data should contain numbers"),
        ("BOOL", (2,), [0, 1], "data should contain booleans"),
        ("BYTES", (1,), [1], "data should contain strings"),
        ("BYTES", (3,), ["a", "b"], "2 elements in data, but the shape [3] has 3"),
        ("FP16", (1,), [1.0], "FP16 has no form in JSON"),
        ("FP8", (1,), [1.0], "unknown datatype 'FP8'; there are BOOL"),
        ("FP32", (1,) * 9, [1.0], "the limit is 8"),
    ],
)
def test_what_is_wrong_with_json_is_said(datatype: str, shape: tuple[int, ...], data: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        from_json("x", datatype, shape, data)
    assert caught.value.message.startswith("input 'x': ")
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "message"),
    [
        ("FP32", (2,), b"\0" * 7, "7 bytes, but FP32 of the shape [2] has 8"),
        ("BYTES", (1,), b"\5\0\0\0abc", "its bytes end within element 0"),
        ("BYTES", (1,), b"\1\0", "its bytes end within element 0"),
        ("BYTES", (2,), b"\1\0\0\0a", "1 elements, but the shape [2] has 2"),
    ],
)
def test_what_is_wrong_with_bytes_is_said(datatype: str, shape: tuple[int, ...], data: bytes, message: str) -> None:
    with pytest.raises(MalformedRequest) as caught:
        from_bytes("x", datatype, shape, data)
    assert caught.value.message == f"input 'x': {message}"
