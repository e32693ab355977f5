"""Audio samples: tensors to WAV files, which the tasks read."""

import base64
import struct
from typing import Any

from deployments.errors import InvalidInput
from serve.apis.open_inference.tensor import Array, Tensor

MAX_RATE = 768_000  # samples per second; a higher rate is an error
_FORMATS = {"INT16": (1, "<i2"), "FP16": (3, "<f4"), "BF16": (3, "<f4"), "FP32": (3, "<f4"), "FP64": (3, "<f4")}


def to_wav(tensor: Tensor, samples: Array, rate: Any) -> str:
    """The audio of one input as a WAV file in base64. Floating-point samples are from -1 to 1.

    Raises:
        InvalidInput: the datatype is not supported, or the sampling rate is missing.
    """
    if tensor.datatype not in _FORMATS:
        known = ", ".join(_FORMATS)
        raise InvalidInput(
            f"input {tensor.name!r}: should be BYTES (files) or samples ({known}), not {tensor.datatype}"
        )
    if isinstance(rate, bool) or not isinstance(rate, int) or not 1 <= rate <= MAX_RATE:
        raise InvalidInput(
            f"input {tensor.name!r}: samples need the parameter sampling_rate, from 1 to {MAX_RATE:,} per second"
        )
    code, dtype = _FORMATS[tensor.datatype]
    data = samples.astype(dtype).tobytes()
    return base64.b64encode(_wav(code, 8 * int(dtype[-1]), rate, data)).decode("ascii")


def _wav(code: int, bits: int, rate: int, data: bytes) -> bytes:
    """A WAV file of one channel; `code` is 1 for integers, 3 for floating point."""
    form = struct.pack("<HHIIHH", code, 1, rate, rate * bits // 8, bits // 8, bits)
    chunks = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks
