"""A small model of natural language inference, for zero-shot-classification."""

from pathlib import Path

from tests.checkpoints import small_checkpoint

LABELS = {0: "contradiction", 1: "neutral", 2: "entailment"}


def nli_checkpoint(folder: Path) -> Path:
    """Save it, and return the folder."""
    ids = {label: index for index, label in LABELS.items()}
    return small_checkpoint(folder, "bert", "SequenceClassification", id2label=LABELS, label2id=ids)
