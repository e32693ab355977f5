"""A process without torch: importing it takes seconds and hundreds of megabytes."""

import importlib
import os
import sys

_KNOW_TORCH = ("transformers", "safetensors.torch", "accelerate")  # modules that look for it when they are imported


def forbid_torch() -> None:
    """Let torch count as not installed in this process, unless it has been imported already.

    transformers then believes that there is none, and imports only what needs none.
    """
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")  # of it: that there is no torch
    sys.modules.setdefault("torch", None)  # type: ignore[arg-type]


def allow_torch() -> None:
    """Undo `forbid_torch`: modules that have found no torch are imported again."""
    if "torch" not in sys.modules or sys.modules["torch"] is not None:
        return
    del sys.modules["torch"]
    for name in [*sys.modules]:
        if any(name == known or name.startswith(f"{known}.") for known in _KNOW_TORCH):
            del sys.modules[name]
    importlib.invalidate_caches()
