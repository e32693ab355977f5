"""Small GGUF files for tests, written byte by byte."""

import struct
from pathlib import Path
from typing import Any


def string(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def fact(name: str, kind: int, content: bytes) -> bytes:
    return string(name) + struct.pack("<I", kind) + content


def write(
    folder: Path, facts: list[bytes], tensors: dict[str, tuple[tuple[int, ...], int, bytes]], **head: Any
) -> Path:
    """Write a file whose tensors, (shape, type, contents), begin at multiples of 32."""
    content, described = b"", b""
    for name, (shape, kind, stored) in tensors.items():
        dimensions = struct.pack(f"<I{len(shape)}Q", len(shape), *reversed(shape))
        described += string(name) + dimensions + struct.pack("<IQ", kind, len(content))
        content += stored + bytes(-len(stored) % 32)
    start = head.get("magic", b"GGUF") + struct.pack("<IQQ", head.get("version", 3), len(tensors), len(facts))
    start += b"".join(facts) + described
    path = folder / "model.gguf"
    path.write_bytes(start + bytes(-len(start) % 32) + content)
    return path


def strings(*texts: str) -> bytes:
    """The contents of a fact that is a list of strings (type 9)."""
    return struct.pack("<IQ", 8, len(texts)) + b"".join(map(string, texts))


def numbers(kind: int, letter: str, *values: float) -> bytes:
    """The contents of a fact that is a list of numbers, of ggml's type `kind` and struct's `letter`."""
    return struct.pack(f"<IQ{len(values)}{letter}", kind, len(values), *values)
