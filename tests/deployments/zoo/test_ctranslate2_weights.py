"""The reader of CTranslate2 files, on files written here byte by byte."""

import struct
from pathlib import Path

import numpy as np
import pytest

from deployments.zoo.ctranslate2_weights import UnreadableModel, read_variables


def string(text: str) -> bytes:
    return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"


def variable(name: str, kind: int, shape: tuple[int, ...], content: bytes) -> bytes:
    head = struct.pack(f"<B{len(shape)}IBI", len(shape), *shape, kind, len(content))
    return string(name) + head + content


def model(variables: list[bytes], version: int = 6) -> bytes:
    head = struct.pack("<I", version) + string("WhisperSpec") + struct.pack("<II", 3, len(variables))
    return head + b"".join(variables) + struct.pack("<I", 1) + string("projection") + string("embeddings")


def write(folder: Path, content: bytes) -> Path:
    path = folder / "model.bin"
    path.write_bytes(content)
    return path


def test_reads_names_shapes_types_and_settings(tmp_path: Path) -> None:
    half, heads = np.arange(6, dtype="<f2").reshape(2, 3), np.int16(6)
    stored = [variable("a/weight", 4, (2, 3), half.tobytes()), variable("a/num_heads", 2, (), heads.tobytes())]
    seen: list[float] = []
    read = read_variables(write(tmp_path, model(stored)), seen.append)
    assert list(read) == ["a/weight", "a/num_heads"]
    np.testing.assert_array_equal(read["a/weight"], half)
    assert read["a/weight"].dtype == np.float16
    assert read["a/num_heads"].shape == ()
    assert int(read["a/num_heads"]) == 6
    assert seen == [0.5, 1.0]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (model([], version=3), "version 3; supported are 4 to 6"),
        (model([variable("a", 5, (1,), b"\0\0")]), "a has an unsupported number type"),
        (model([variable("a", 0, (2,), b"\0\0\0\0")]), r"a has 4 bytes, which does not match its shape \[2\]"),
        (model([variable("a", 0, (1,), b"\0\0\0\0")])[:40], "truncated by . bytes"),
        (b"\6", "truncated by 3 bytes"),
    ],
)
def test_refuses_what_it_cannot_read(tmp_path: Path, content: bytes, complaint: str) -> None:
    with pytest.raises(UnreadableModel, match=complaint):
        read_variables(write(tmp_path, content), lambda fraction: None)
