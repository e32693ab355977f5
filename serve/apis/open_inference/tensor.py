"""Tensors: named arrays, and their forms in JSON and as bytes.

Numbers are numpy arrays; elements of BYTES are `str` where they came in JSON and `bytes` else, in arrays of objects.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from math import prod
from typing import Any

import numpy as np

from deployments.errors import InvalidInput, MalformedRequest

Array = np.ndarray[Any, Any]

# Little-endian, as the protocol says. BF16 is none of numpy's: its bits are the upper half of a float32's.
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
ONLY_BYTES = ("FP16", "BF16")  # no form in JSON
MAX_DIMENSIONS = 8
MAX_SIZE = 1 << 31  # of one dimension
LENGTH = np.dtype("<u4")  # in front of every element of BYTES

_KINDS = {"b": "b", "u": "iu", "i": "iu", "f": "iuf"}  # what a number in JSON may be, by numpy's kind of the datatype
_JSON_NAMES = {"b": "booleans", "u": "integers", "i": "integers", "f": "numbers"}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A named array.

    Attributes:
        name: of the tensor.
        datatype: one of `DATATYPES`.
        values: the elements, in the tensor's shape.
        parameters: what was said about this tensor alone.
    """

    name: str
    datatype: str
    values: Array
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(int(size) for size in self.values.shape)


def of_objects(elements: list[Any], shape: tuple[int, ...]) -> Array:
    """An array whose elements are the objects themselves, whatever they are."""
    array = np.empty(len(elements), dtype=object)
    array[:] = elements
    return array.reshape(shape)


def require_form(name: str, datatype: str, shape: tuple[int, ...]) -> None:
    """Refuse what no tensor can be.

    Raises:
        InvalidInput: no such datatype, or no such shape.
    """
    if datatype not in DATATYPES:
        raise InvalidInput(f"input {name!r}: no datatype {datatype!r}; there are {', '.join(DATATYPES)}")
    if len(shape) > MAX_DIMENSIONS:
        raise InvalidInput(f"input {name!r}: its shape has {len(shape)} dimensions; at most {MAX_DIMENSIONS} are read")
    if not all(0 <= size < MAX_SIZE for size in shape):
        raise InvalidInput(f"input {name!r}: its shape {list(shape)} is none")


def from_bytes(name: str, datatype: str, shape: tuple[int, ...], data: bytes) -> Array:
    """The array whose elements lie in `data`, row by row.

    Raises:
        InvalidInput: no such datatype or shape.
        MalformedRequest: not as many bytes as the shape says.
    """
    require_form(name, datatype, shape)
    if datatype == "BYTES":
        return of_objects(list(_elements(name, shape, data)), shape)
    dtype = NUMBERS[datatype]
    needed = prod(shape) * dtype.itemsize
    if len(data) != needed:
        raise MalformedRequest(
            f"input {name!r}: {len(data):,} bytes, but {needed:,} are {datatype} of the shape {list(shape)}"
        )
    values = np.frombuffer(data, dtype).reshape(shape)
    if datatype == "BF16":
        widened: Array = (values.astype("<u4") << 16).view("<f4")
        return widened
    return values


def _elements(name: str, shape: tuple[int, ...], data: bytes) -> Iterator[bytes]:
    """Elements of BYTES: each behind its length."""
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
    """The array of a list of elements, flat or nested.

    Raises:
        InvalidInput: no such datatype, elements of another, or not as many as the shape says.
    """
    require_form(name, datatype, shape)
    if datatype in ONLY_BYTES:
        raise InvalidInput(f"input {name!r}: {datatype} has no form in JSON; send its bytes, or FP32")
    elements = _flat(data)
    if len(elements) != prod(shape):
        raise InvalidInput(
            f"input {name!r}: {len(elements):,} elements in data, but the shape {list(shape)} has {prod(shape):,}"
        )
    if datatype == "BYTES":
        if not all(isinstance(element, str) for element in elements):
            raise InvalidInput(f"input {name!r}: its datatype is BYTES, so data should hold strings")
        return of_objects(elements, shape)
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
        given = np.array(elements) if elements else np.empty(0, dtype)
    except (ValueError, OverflowError):
        given = np.array(None)
    if given.dtype.kind not in _KINDS[dtype.kind]:
        raise InvalidInput(f"input {name!r}: its datatype is {datatype}, so data should hold {_JSON_NAMES[dtype.kind]}")
    try:
        return np.array(elements, dtype)
    except (ValueError, OverflowError):
        raise InvalidInput(f"input {name!r}: data holds a number that is none of {datatype}") from None


def to_bytes(tensor: Tensor) -> bytes:
    """The elements row by row, as `from_bytes` reads them. There is no way to write BF16."""
    if tensor.datatype != "BYTES":
        return tensor.values.astype(NUMBERS[tensor.datatype], copy=False).tobytes()
    encoded = [as_bytes(element) for element in tensor.values.ravel()]
    return b"".join(part for element in encoded for part in (len(element).to_bytes(LENGTH.itemsize, "little"), element))


def to_json(tensor: Tensor) -> Any:
    """The elements row by row, for orjson with numpy."""
    if tensor.datatype != "BYTES":
        return np.ascontiguousarray(tensor.values.ravel())
    return [str(element) for element in tensor.values.ravel()]


def as_bytes(element: str | bytes) -> bytes:
    """An element of BYTES as bytes."""
    return element.encode() if isinstance(element, str) else element
