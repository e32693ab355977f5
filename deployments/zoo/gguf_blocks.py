"""Weights that GGUF stores in blocks of few bits, widened to float32 with numpy.

Every function takes the raw blocks of a tensor, uint8 [blocks, bytes of a block], and returns float32 [blocks, weights
of a block]. Numbers are little-endian, and scales are half-precision. The layouts are those of ggml, the library that
llama.cpp is built on.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Form:
    """How a type of tensor is stored: `weights` in a block of `size` bytes, and what reads the blocks."""

    weights: int
    size: int
    widen: Callable[[np.ndarray], np.ndarray]


def _plain(blocks: np.ndarray) -> np.ndarray:
    return blocks.view("<f4")


def _half(blocks: np.ndarray) -> np.ndarray:
    return blocks.view("<f2").astype(np.float32)


def _q8_0(blocks: np.ndarray) -> np.ndarray:
    """32 weights: a scale, then 32 numbers of 8 bits with sign."""
    weights: np.ndarray = _half(blocks[:, :2]) * blocks[:, 2:].view(np.int8)
    return weights


def _q5_0(blocks: np.ndarray) -> np.ndarray:
    """32 weights: a scale, the fifth bits of all, then the four others: low halves of 16 bytes, then high halves."""
    fifth = np.unpackbits(blocks[:, 2:6], axis=1, bitorder="little")
    numbers = _nibbles(blocks[:, 6:]) | fifth << 4
    weights: np.ndarray = _half(blocks[:, :2]) * (numbers.astype(np.float32) - 16)
    return weights


def _q4_k(blocks: np.ndarray) -> np.ndarray:
    """256 weights in 8 groups: two scales, 12 bytes with a step and a floor (6 bits) for each group, then 4 bits each.

    A weight is scale x step x number - second scale x floor. Each 32 bytes hold two groups, in their low and high
    halves.
    """
    packed = blocks[:, 4:16]
    first, second, third = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    steps = np.concatenate([first & 63, third & 15 | first >> 6 << 4], axis=1)
    floors = np.concatenate([second & 63, third >> 4 | second >> 6 << 4], axis=1)
    numbers = _nibbles(blocks[:, 16:].reshape(-1, 4, 32)).reshape(-1, 8, 32)
    scaled = (_half(blocks[:, :2]) * steps)[..., None] * numbers
    weights: np.ndarray = scaled - (_half(blocks[:, 2:4]) * floors)[..., None]
    return weights.reshape(-1, 256)


def _q6_k(blocks: np.ndarray) -> np.ndarray:
    """256 weights in 16 groups: the lower 4 bits, the upper 2 bits, a step with sign for each group, a scale.

    Each half of the block has its weights in four rows of 32: rows 0 and 2 share bytes of lower bits, as do 1 and 3,
    and all four share bytes of upper bits.
    """
    lower = _nibbles(blocks[:, :128].reshape(-1, 2, 64)).reshape(-1, 2, 4, 32)
    upper = blocks[:, 128:192].reshape(-1, 2, 1, 32) >> np.array([0, 2, 4, 6], np.uint8)[:, None] & 3
    numbers = (lower | upper << 4).reshape(-1, 16, 16).astype(np.float32) - 32
    steps = _half(blocks[:, 208:]) * blocks[:, 192:208].view(np.int8)
    weights: np.ndarray = steps[..., None] * numbers
    return weights.reshape(-1, 256)


def _nibbles(packed: np.ndarray) -> np.ndarray:
    """Return the low halves of the bytes of the last axis, then their high halves."""
    return np.concatenate([packed & 15, packed >> 4], axis=-1)


FORMS = {
    0: Form(1, 4, _plain),
    1: Form(1, 2, _half),
    6: Form(32, 22, _q5_0),
    8: Form(32, 34, _q8_0),
    12: Form(256, 144, _q4_k),
    14: Form(256, 210, _q6_k),
}
"""By ggml's number of the type: F32, F16, Q5_0, Q8_0, Q4_K, Q6_K."""
