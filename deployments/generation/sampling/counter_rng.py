"""Random numbers that depend only on a row's seed, its step, and the token.

*Squares* (Widynski 2020, "Squares: A Fast Counter-Based RNG", arXiv:2004.06278) maps a key and a counter to 32 random
bits, so any token's number is computed without those before it. The key is a hash of the row's seed and step, the
counter the token's id. A row's sample therefore cannot depend on its neighbours, its index in the batch, the device, or
the number of candidates.
"""

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_LOW = 0xFFFFFFFF


def key(seed: int, step: int) -> int:
    """An odd 64-bit key, as a signed integer, for one token of a row."""
    text = seed.to_bytes(8, "little") + step.to_bytes(8, "little")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little", signed=True) | 1


def bits(counters: "Tensor", keys: "Tensor") -> "Tensor":
    """32 random bits, as int64, for each counter under its key; both int64, broadcast against each other."""
    x = counters * keys  # products wrap around at 64 bits, as the method requires
    y = x.clone()
    z = y + keys
    for addend in (y, z, y):
        x.mul_(x).add_(addend)
        high = (x >> 32).bitwise_and_(_LOW)
        x = x.bitwise_left_shift_(32).bitwise_or_(high)
    return x.mul_(x).add_(z).bitwise_right_shift_(32).bitwise_and_(_LOW)


def gumbel(tokens: "Tensor", keys: "Tensor") -> "Tensor":
    """Standard Gumbel noise, float32: the argmax of `log p + noise` is a sample from p (Gumbel 1954, "Gumbel-max").

    Args:
        tokens: ids, [rows, candidates] or [candidates].
        keys: of `key`, [rows, 1].

    The exponential variate is computed as -log(1 - u), which keeps small values distinct: rounded to 0, they would let
    an almost impossible token win. The clamp keeps the noise finite.
    """
    uniform = bits(tokens, keys).float().add_(0.5).mul_(2.0**-32).clamp_(max=1 - 2.0**-24)
    return uniform.neg_().log1p_().neg_().log_().neg_()
