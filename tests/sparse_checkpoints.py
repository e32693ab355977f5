"""Small SPLADE checkpoints, as sentence-transformers writes them, and the vectors that it computes.

The vectors are in `sparse_vectors.json` beside this file; `python -m tests.sparse_checkpoints` writes them, where
sentence-transformers is installed.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.checkpoints import SENTENCES, small_checkpoint
from tests.embedding_checkpoints import Form, record, write_modules

VECTORS = Path(__file__).with_name("sparse_vectors.json")
TEXTS = [SENTENCES[0], SENTENCES[3], "One"]
_PACKAGE = "sentence_transformers.sparse_encoder.modules.{}"


def splade(
    family: str = "bert",
    transformer: str = "MLMTransformer",
    pooling: Mapping[str, Any] | None = None,
    length: int | None = None,
    **settings: Any,
) -> Form:
    """A checkpoint: a masked language model of a family, its pooling, and other settings."""

    def make(folder: Path) -> None:
        small_checkpoint(folder, family, "MaskedLM")
        write_modules(folder, [(transformer, {}), ("SpladePooling", pooling or {})], _PACKAGE)
        (folder / "config_sentence_transformers.json").write_text(
            json.dumps({"model_type": "SparseEncoder"} | settings)
        )
        task = {"transformer_task": "fill-mask"} if transformer == "Transformer" else {}
        lengths = {} if length is None else {"max_seq_length": length}
        (folder / "sentence_bert_config.json").write_text(json.dumps(task | lengths))

    return make


_PROMPTS = {"prompts": {"query": "Represent the question: "}, "default_prompt_name": "query"}
FORMS: Mapping[str, Form] = {
    "max": splade(pooling={"pooling_strategy": "max", "activation_function": "relu"}),
    "sum": splade(pooling={"pooling_strategy": "sum", "activation_function": "relu"}),
    "max, two logarithms": splade("distilbert", "Transformer", {"activation_function": "log1p_relu"}),
    "sum, two logarithms": splade(pooling={"pooling_strategy": "sum", "activation_function": "log1p_relu"}),
    "defaults, cut": splade("roberta", length=12),
    "a prompt": splade("modernbert", **_PROMPTS),
    "few entries": splade("mpnet", max_active_dims=8),
    "a head that uses its layer": splade("mobilebert"),
}
"""By name."""


def _ask(package: Any, folder: str) -> list[dict[int, float]]:
    model = package.SparseEncoder(folder, device="cpu")
    found = model.encode(TEXTS, batch_size=1, convert_to_sparse_tensor=False)
    return [{int(index): round(float(vector[index]), 5) for index in vector.nonzero()[:, 0]} for vector in found]


if __name__ == "__main__":
    record(VECTORS, FORMS, _ask)
