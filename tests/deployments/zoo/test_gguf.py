"""The reader of GGUF files, on files and blocks written here byte by byte."""

import struct
from pathlib import Path

import numpy as np
import pytest

from deployments.zoo.gguf import Gguf, UnreadableGguf
from deployments.zoo.gguf_blocks import FORMS
from tests.deployments.zoo.writing_gguf import fact, string, write

Q5_0, Q8_0, Q4_K, Q6_K = 6, 8, 12, 14


def widen(kind: int, block: bytes) -> list[float]:
    form = FORMS[kind]
    assert len(block) == form.size
    weights = form.widen(np.frombuffer(block, np.uint8)[None])
    assert weights.shape == (1, form.weights)
    assert weights.dtype == np.float32
    numbers: list[float] = weights[0].tolist()
    return numbers


def half(*numbers: float) -> bytes:
    return np.array(numbers, "<f2").tobytes()


def test_reads_facts_and_tensors(tmp_path: Path) -> None:
    words = struct.pack("<IQ", 8, 2) + string("a") + string("▁b")
    scores = struct.pack("<IQ2f", 6, 2, -1, -2)
    facts = [fact("n", 4, struct.pack("<I", 7)), fact("yes", 7, b"\1"), fact("words", 9, words), fact("s", 9, scores)]
    plain, halves = np.arange(6, dtype="<f4").reshape(2, 3), np.arange(4, dtype="<f2")
    file = Gguf(write(tmp_path, facts, {"p": ((2, 3), 0, plain.tobytes()), "h": ((4,), 1, halves.tobytes())}))
    assert file.facts == {"n": 7, "yes": True, "words": ["a", "▁b"], "s": [-1.0, -2.0]}
    np.testing.assert_array_equal(file.read("p"), plain)
    np.testing.assert_array_equal(file.read("h"), halves)


def test_refuses_what_it_cannot_read(tmp_path: Path) -> None:
    with pytest.raises(UnreadableGguf, match="is no GGUF file"):
        Gguf(write(tmp_path, [], {}, magic=b"GGML"))
    with pytest.raises(UnreadableGguf, match="version 1"):
        Gguf(write(tmp_path, [], {}, version=1))
    with pytest.raises(UnreadableGguf, match="a fact is of type 99"):
        Gguf(write(tmp_path, [fact("n", 99, b"")], {}))
    file = Gguf(write(tmp_path, [], {"odd": ((1,), 40, bytes(32)), "cut": ((64,), 0, bytes(32))}))
    with pytest.raises(UnreadableGguf, match="odd is stored in a form that is not understood"):
        file.read("odd")
    with pytest.raises(UnreadableGguf, match="ends within cut"):
        file.read("cut")
    whole = write(tmp_path, [fact("words", 8, string("abc"))], {}).read_bytes()
    (tmp_path / "model.gguf").write_bytes(whole[:42])
    with pytest.raises(UnreadableGguf, match="bytes early"):
        Gguf(tmp_path / "model.gguf")


def test_eight_bits() -> None:
    numbers = [*range(-16, 15), 127]
    assert widen(Q8_0, half(0.5) + np.array(numbers, np.int8).tobytes()) == [number / 2 for number in numbers]


def test_five_bits_of_which_one_is_stored_apart() -> None:
    numbers = [*range(31, -1, -1)]
    fifth = sum((number >> 4) << index for index, number in enumerate(numbers))
    lower = bytes((numbers[index] & 15) | (numbers[index + 16] & 15) << 4 for index in range(16))
    assert widen(Q5_0, half(2) + struct.pack("<I", fifth) + lower) == [2.0 * (number - 16) for number in numbers]


def test_four_bits_with_step_and_floor_of_each_group() -> None:
    steps, floors = [1, 2, 3, 63, 16, 17, 40, 63], [0, 5, 6, 63, 0, 33, 48, 62]
    packed = bytes(steps[group] | (steps[group + 4] >> 4) << 6 for group in range(4))
    packed += bytes(floors[group] | (floors[group + 4] >> 4) << 6 for group in range(4))
    packed += bytes((steps[group + 4] & 15) | (floors[group + 4] & 15) << 4 for group in range(4))
    numbers = np.random.default_rng(0).integers(0, 16, (8, 32))
    pairs = numbers.reshape(4, 2, 32)
    block = half(2, 0.5) + packed + (pairs[:, 0] | pairs[:, 1] << 4).astype(np.uint8).tobytes()
    expected = [
        2.0 * steps[group] * int(number) - 0.5 * floors[group] for group in range(8) for number in numbers[group]
    ]
    assert widen(Q4_K, block) == expected


def test_six_bits_of_which_two_are_stored_apart() -> None:
    numbers = np.random.default_rng(1).integers(0, 64, (2, 4, 32))
    lower = numbers & 15
    upper = sum((numbers[:, row] >> 4) << 2 * row for row in range(4))
    low_bytes = np.concatenate([lower[:, 0] | lower[:, 2] << 4, lower[:, 1] | lower[:, 3] << 4], axis=1)
    steps = np.arange(-8, 8, dtype=np.int8)
    block = low_bytes.astype(np.uint8).tobytes() + np.asarray(upper, np.uint8).tobytes() + steps.tobytes() + half(0.5)
    flat = numbers.reshape(16, 16)
    expected = [0.5 * int(steps[group]) * (int(number) - 32) for group in range(16) for number in flat[group]]
    assert widen(Q6_K, block) == expected
