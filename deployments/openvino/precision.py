"""The dtypes that a build computes in, and what a CPU must have for them."""

from functools import cache

from deployments.openvino.graph import import_openvino

HINTS = {None: "f32", "float32": "f32", "bfloat16": "bf16", "int8": "f32"}
"""OpenVINO's `INFERENCE_PRECISION_HINT` by dtype. What `int8` leaves in floating point is computed in float32."""


def is_exact(dtype: str | None) -> bool:
    """Whether a build in this dtype must answer as torch does in float32, within 1e-4."""
    return dtype in (None, "float32")


def missing(dtype: str | None) -> str | None:
    """Why no build computes in a dtype on this machine; None if one can.

    OpenVINO takes a bfloat16 hint on any CPU, and computes in float32 without a word where the CPU lacks it. That is
    not what was configured.
    """
    if dtype not in HINTS:
        return f"its dtype is {dtype}"
    if dtype == "bfloat16" and "BF16" not in cpu_capabilities():
        return "this CPU has no bfloat16 (avx512_bf16 or amx_bf16), which would be emulated, slower than float32"
    return None


@cache
def cpu_capabilities() -> tuple[str, ...]:
    """What OpenVINO computes with natively on this CPU, such as FP32, BF16 and INT8."""
    return tuple(import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
