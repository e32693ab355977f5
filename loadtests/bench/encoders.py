"""The encoders that the benchmarks serve: MiniLM, and two with random weights that are built when they are needed."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

MINILM = "embedded:minilm"


@dataclass(frozen=True, slots=True)
class Encoder:
    """An encoder for feature extraction.

    Attributes:
        model: as in a configuration.
        pooling: the mode; None for the checkpoint's own.
    """

    model: str
    pooling: str | None = None


EncoderName = Literal["minilm", "deberta"]


def encoder(name: EncoderName, folder: Path) -> Encoder:
    """The encoder with this name; it is built in `folder` at the first call, if it has to be built."""
    if name == "minilm":
        return Encoder(MINILM)
    built = folder / name
    return Encoder(str(built if built.exists() else build_deberta(built)), "mean")


def minilm_folder() -> Path:
    """The folder of MiniLM, which is built at the first call."""
    from deployments.checkpoints.files import resolve

    return Path(resolve(MINILM))


def build_deberta(folder: Path) -> Path:
    """A DeBERTa-v2 of MiniLM's size, with MiniLM's tokenizer. Its attention does not support packing.

    The weights are random: they do not affect the speed.
    """
    from transformers import DebertaV2Config, DebertaV2Model

    config = DebertaV2Config(
        vocab_size=30522,
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
        max_position_embeddings=512,
        type_vocab_size=0,
        relative_attention=True,
        position_buckets=256,
        pos_att_type=["p2c", "c2p"],
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        position_biased_input=False,
    )
    return _save(DebertaV2Model(config), folder)


def build_tiny(folder: Path) -> Path:
    """The smallest BERT that a replica loads, for the no-op tasks."""
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=30522, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    return _save(BertModel(config), folder)


def _save(model: Any, folder: Path) -> Path:
    import transformers

    transformers.utils.logging.disable_progress_bar()
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(minilm_folder() / name, folder / name)
    return folder
