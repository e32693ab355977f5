"""Tensors: named arrays, and their forms as JSON and as bytes.

Numbers are numpy arrays. BYTES are object arrays with elements of type `str` if they come from JSON, else `bytes`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from math import prod
from typing import Any

import numpy as np

from deployments.errors import InvalidInput, MalformedRequest

Array = np.ndarray[Any, Any]

# Little-endian, as the protocol demands. numpy has no BF16: its bits are the upper half of a float32's.
NUMBERS: Mapping[str, "np.dtype[Any]"] = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BF16": np.dtype("<u2"),
}
DATATYPES = (*NUMBERS, "BYTES")
BINARY_ONLY = ("FP16", "BF16")  # no form in JSON
MAX_DIMENSIONS = 8
MAX_SIZE = 1 << 31  # of one dimension
LENGTH = np.dtype("<u4")  # before every element of BYTES

_KINDS = {"b": "b", "u": "iu", "i": "iu", "f": "iuf"}  # accepted kinds of JSON numbers, by numpy's kind of the datatype
_JSON_NAMES = {"b": "booleans", "u": "integers", "i": "integers", "f": "numbers"}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A named array.

    Attributes:
        name: of the tensor.
        datatype: one of `DATATYPES`.
        values: the elements, in the tensor's shape.
        parameters: of this tensor alone.
    """

    name: str
    datatype: str
    values: Array
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(int(size) for size in self.values.shape)


def object_array(elements: list[Any], shape: tuple[int, ...]) -> Array:
    """An object array with these elements."""
    array = np.empty(len(elements), dtype=object)
    array[:] = elements
    return array.reshape(shape)


def validate_tensor(name: str, datatype: str, shape: tuple[int, ...]) -> None:
    """Check datatype and shape.

    Raises:
        InvalidInput: an unknown datatype or an invalid shape.
    """
    if datatype not in DATATYPES:
        raise InvalidInput(f"input {name!r}: unknown datatype {datatype!r}; there are {', '.join(DATATYPES)}")
    if len(shape) > MAX_DIMENSIONS:
        raise InvalidInput(f"input {name!r}: its shape has {len(shape)} dimensions; the limit is {MAX_DIMENSIONS}")
    if not all(0 <= size < MAX_SIZE for size in shape):
        raise InvalidInput(f"input {name!r}: its shape {list(shape)} is invalid")


def from_bytes(name: str, datatype: str, shape: tuple[int, ...], data: bytes) -> Array:
    """The array whose elements are in `data`, in row-major order.

    Raises:
        InvalidInput: an unknown datatype or an invalid shape.
        MalformedRequest: the number of bytes does not match the shape.
    """
    validate_tensor(name, datatype, shape)
    if datatype == "BYTES":
        return object_array(list(_elements(name, shape, data)), shape)
    dtype = NUMBERS[datatype]
    needed = prod(shape) * dtype.itemsize
    if len(data) != needed:
        raise MalformedRequest(
            f"input {name!r}: {len(data):,} bytes, but {datatype} of the shape {list(shape)} has {needed:,}"
        )
    values = np.frombuffer(data, dtype).reshape(shape)
    if datatype == "BF16":
        widened: Array = (values.astype("<u4") << 16).view("<f4")
        return widened
    return values


def _elements(name: str, shape: tuple[int, ...], data: bytes) -> Iterator[bytes]:
    """Elements of BYTES, each after its length."""
    count, place = 0, 0
    while place < len(data):
        start = place + LENGTH.itemsize
        place = start + int.from_bytes(data[place:start], "little")
        if place > len(data) or start > len(data):
            raise MalformedRequest(f"input {name!r}: its bytes end within element {count}")
        count += 1
        yield data[start:place]
    if count != prod(shape):
        raise MalformedRequest(f"input {name!r}: {count:,} elements, but the shape {list(shape)} has {prod(shape):,}")


def from_json(name: str, datatype: str, shape: tuple[int, ...], data: Any) -> Array:
    """The array of a flat or nested list of elements.

    Raises:
        InvalidInput: an unknown datatype, or elements that do not match datatype or shape.
    """
    validate_tensor(name, datatype, shape)
    if datatype in BINARY_ONLY:
        raise InvalidInput(f"input {name!r}: {datatype} has no form in JSON; send it as bytes, or use FP32")
    elements = _flat(data)
    if len(elements) != prod(shape):
        raise InvalidInput(
            f"input {name!r}: {len(elements):,} elements in data, but the shape {list(shape)} has {prod(shape):,}"
        )
    if datatype == "BYTES":
        if not all(isinstance(element, str) for element in elements):
            raise InvalidInput(f"input {name!r}: its datatype is BYTES, so data should contain strings")
        return object_array(elements, shape)
    return _numbers(name, datatype, elements).reshape(shape)


def _flat(data: Any) -> list[Any]:
    elements = data if isinstance(data, list) else [data]
    for _ in range(MAX_DIMENSIONS - 1):
        if not any(isinstance(element, list) for element in elements):
            break
        elements = list(chain.from_iterable(e if isinstance(e, list) else [e] for e in elements))
    return elements


def _numbers(name: str, datatype: str, elements: list[Any]) -> Array:
    dtype = NUMBERS[datatype]
    try:
        array = np.array(elements) if elements else np.empty(0, dtype)
    except (ValueError, OverflowError):
        array = np.array(None)
    # numpy makes a float array of integers above and below 2**63.
    are_integers = dtype.kind in "iu" and all(type(element) is int for element in elements)
    if array.dtype.kind not in _KINDS[dtype.kind] and not are_integers:
        raise InvalidInput(
            f"input {name!r}: its datatype is {datatype}, so data should contain {_JSON_NAMES[dtype.kind]}"
        )
    try:
        return np.array(elements, dtype)
    except (ValueError, OverflowError):
        raise InvalidInput(f"input {name!r}: data has a number out of range for {datatype}") from None


def to_bytes(tensor: Tensor) -> bytes:
    """The elements in row-major order, as `from_bytes` reads them; BF16 is not supported."""
    if tensor.datatype != "BYTES":
        return tensor.values.astype(NUMBERS[tensor.datatype], copy=False).tobytes()
    encoded = [as_bytes(element) for element in tensor.values.ravel()]
    return b"".join(part for element in encoded for part in (len(element).to_bytes(LENGTH.itemsize, "little"), element))


def to_json(tensor: Tensor) -> Any:
    """The elements in row-major order, for orjson with numpy."""
    if tensor.datatype != "BYTES":
        return np.ascontiguousarray(tensor.values.ravel())
    return [str(element) for element in tensor.values.ravel()]


def as_bytes(element: str | bytes) -> bytes:
    """An element of BYTES as bytes."""
    return element.encode() if isinstance(element, str) else element
