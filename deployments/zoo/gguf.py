"""GGUF files, read with numpy alone: facts about the model by name, and tensors widened to float32.

The file (little-endian) is: `GGUF`, version, number of tensors, number of facts, the facts, what the tensors are, then
their contents, each beginning at a multiple of an alignment. A string is its length (8 bytes) and its bytes.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from deployments.zoo.gguf_blocks import FORMS

VERSIONS = (2, 3)
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""struct's letter for each number of a type of fact; 8 is a string and 9 a list."""

_STRING, _LIST = 8, 9
_ALIGNMENT = "general.alignment"


class UnreadableGguf(Exception):
    """The file is no GGUF file of a known version, holds a form that is not understood, or ends early."""


@dataclass(frozen=True)
class Tensor:
    """Where a tensor is and what it looks like; `shape` is in numpy's order, the axis that changes fastest last."""

    shape: tuple[int, ...]
    kind: int
    offset: int


class Gguf:
    """An open file.

    Attributes:
        facts: numbers, strings and lists about the model, such as `tokenizer.ggml.tokens`.
        tensors: what tensors there are.

    Raises:
        UnreadableGguf: see there.
    """

    def __init__(self, path: Path) -> None:
        self._content = np.memmap(path, np.uint8, "r")
        with path.open("rb") as file:
            if _bytes(file, 4) != b"GGUF":
                raise UnreadableGguf(f"{path.name} is no GGUF file")
            version, tensors, facts = _unpack(file, "IQQ")
            if version not in VERSIONS:
                raise UnreadableGguf(f"{path.name} is of version {version}; {VERSIONS} can be read")
            self.facts = {_string(file): _fact(file, *_unpack(file, "I")) for _ in range(facts)}
            self.tensors = dict(_tensor(file) for _ in range(tensors))
            self._begin = -(-file.tell() // self.facts.get(_ALIGNMENT, 32)) * self.facts.get(_ALIGNMENT, 32)

    def read(self, name: str) -> np.ndarray:
        """Return a tensor as float32.

        Raises:
            UnreadableGguf: it is stored in a form that is not known, or the file ends early.
        """
        tensor = self.tensors[name]
        form = FORMS.get(tensor.kind)
        if form is None:
            raise UnreadableGguf(f"{name} is stored in a form that is not understood (type {tensor.kind})")
        blocks = int(np.prod(tensor.shape)) // form.weights
        begin = self._begin + tensor.offset
        stored = self._content[begin : begin + blocks * form.size]
        if len(stored) < blocks * form.size:
            raise UnreadableGguf(f"the file ends within {name}")
        return form.widen(np.array(stored).reshape(blocks, form.size)).reshape(tensor.shape)


def _tensor(file: BinaryIO) -> tuple[str, Tensor]:
    name = _string(file)
    (rank,) = _unpack(file, "I")
    *reversed_shape, kind, offset = _unpack(file, f"{rank}QIQ")
    return name, Tensor(tuple(reversed(reversed_shape)), kind, offset)


def _fact(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _string(file)
    if kind == _LIST:
        of, length = _unpack(file, "IQ")
        if of in _NUMBERS:
            return list(_unpack(file, f"{length}{_NUMBERS[of]}"))
        return [_fact(file, of) for _ in range(length)]
    if kind not in _NUMBERS:
        raise UnreadableGguf(f"a fact is of type {kind}, which is not understood")
    return _unpack(file, _NUMBERS[kind])[0]


def _string(file: BinaryIO) -> str:
    return _bytes(file, *_unpack(file, "Q")).decode("utf-8")


def _unpack(file: BinaryIO, form: str) -> tuple[Any, ...]:
    return struct.unpack(f"<{form}", _bytes(file, struct.calcsize(f"<{form}")))


def _bytes(file: BinaryIO, length: int) -> bytes:
    content = file.read(length)
    if len(content) < length:
        raise UnreadableGguf(f"the file ends {length - len(content)} bytes early")
    return content
