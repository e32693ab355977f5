"""Reads the weights of a CTranslate2 `model.bin`, a list of named arrays, with numpy alone.

The file (little-endian; version 4 and later) is: version, name of the specification, its revision, number of variables,
the variables, number of aliases, the aliases. A string is its length with the closing zero byte (2 bytes), then its
bytes. A variable is a string, its rank (1 byte), its dimensions (4 bytes each), the number of its type (1 byte), its
length in bytes (4 bytes), then its contents.
"""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np

TYPES = {0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2"}
"""numpy dtype by type number; 5 would be bfloat16, which numpy lacks."""

VERSIONS = range(4, 7)


class UnreadableModel(Exception):
    """The file is not a `model.bin` of a supported version, or it is truncated."""


def read_variables(path: Path, on_variable: Callable[[float], None]) -> dict[str, np.ndarray]:
    """Read every variable by name; settings are arrays without dimensions, aliases are omitted.

    `on_variable` is called with the fraction of the variables that has been read.

    Raises:
        UnreadableModel: an unsupported version or number type, or the file is truncated.
    """
    variables = {}
    with path.open("rb") as file:
        version = _number(file, "<I")
        if version not in VERSIONS:
            raise UnreadableModel(f"{path.name} has version {version}; supported are {VERSIONS[0]} to {VERSIONS[-1]}")
        _string(file)
        _number(file, "<I")
        count = _number(file, "<I")
        for index in range(count):
            name = _string(file)
            variables[name] = _array(file, name)
            on_variable((index + 1) / count)
    return variables


def _array(file: BinaryIO, name: str) -> np.ndarray:
    shape = [_number(file, "<I") for _ in range(_number(file, "<B"))]
    kind = _number(file, "<B")
    if kind not in TYPES:
        raise UnreadableModel(f"{name} has an unsupported number type ({kind})")
    content = _bytes(file, _number(file, "<I"))
    try:
        return np.frombuffer(content, TYPES[kind]).reshape(shape)
    except ValueError as error:
        raise UnreadableModel(f"{name} has {len(content)} bytes, which does not match its shape {shape}") from error


def _string(file: BinaryIO) -> str:
    return _bytes(file, _number(file, "<H")).rstrip(b"\0").decode("utf-8")


def _number(file: BinaryIO, form: str) -> int:
    number: int = struct.unpack(form, _bytes(file, struct.calcsize(form)))[0]
    return number


def _bytes(file: BinaryIO, length: int) -> bytes:
    content = file.read(length)
    if len(content) < length:
        raise UnreadableModel(f"the file is truncated by {length - len(content)} bytes")
    return content
