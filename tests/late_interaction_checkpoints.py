"""Small checkpoints for late interaction, as sentence-transformers, PyLate and Stanford's ColBERT write them, and the
vectors and scores that sentence-transformers computes.

They are in `late_interaction.json` beside this file; `python -m tests.late_interaction_checkpoints` writes them, where
sentence-transformers is installed.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.checkpoints import SENTENCES, small_checkpoint, small_tokenizer
from tests.embedding_checkpoints import WIDTH, Files, Form, draw_dense, qwen3, record, rounded

VALUES = Path(__file__).with_name("late_interaction.json")
QUERIES = ["Where is the bridge?", "One"]
DOCUMENTS = [SENTENCES[0], SENTENCES[4], "Two!"]
_NOW = "sentence_transformers.base.modules."
_TYPES = {
    "Transformer": f"{_NOW}transformer.Transformer",
    "Dense": f"{_NOW}dense.Dense",
    "Normalize": f"{_NOW}normalize.Normalize",
    "MultiVectorMask": "sentence_transformers.multi_vector_encoder.modules.multi_vector_mask.MultiVectorMask",
    "pylate.Dense": "pylate.models.Dense.Dense",
}
_IDENTITY = "torch.nn.modules.linear.Identity"


def dense(inputs: int = WIDTH, outputs: int = 8, kind: str = "Dense", **others: Any) -> tuple[str, Files]:
    settings = {"in_features": inputs, "out_features": outputs, "bias": False, "activation_function": _IDENTITY}
    tokens = {} if kind.startswith("pylate") else {"module_input_name": "token_embeddings"}
    return kind, settings | tokens | others


def multi_vector(
    *modules: tuple[str, Files],
    save: Callable[[Path], Any] | None = None,
    transformer: Files | None = None,
    **settings: Any,
) -> Form:
    """A checkpoint with `modules.json`: a transformer, the modules after it, and the settings of both."""

    def make(folder: Path) -> None:
        (save or bert)(folder)
        entries = []
        for index, (kind, content) in enumerate([("Transformer", {}), *modules]):
            path = f"{index}_{kind.rpartition('.')[2]}" if index else ""
            entries.append({"idx": index, "name": str(index), "path": path, "type": _TYPES.get(kind, kind)})
            if index:
                (folder / path).mkdir()
                (folder / path / "config.json").write_text(json.dumps(content))
        (folder / "modules.json").write_text(json.dumps(entries))
        (folder / "config_sentence_transformers.json").write_text(json.dumps(settings))
        (folder / "sentence_bert_config.json").write_text(json.dumps(transformer or {"max_seq_length": 100}))
        draw_dense(folder)

    return make


def bert(folder: Path) -> None:
    small_checkpoint(folder, "bert", "")


def bert_with_prefixes(folder: Path) -> None:
    """PyLate adds its prefixes to the vocabulary."""
    tokenizer = small_tokenizer("wordpiece", folder)
    small_checkpoint(folder, "bert", "", vocab_size=len(tokenizer) + 2)
    tokenizer.add_tokens(["[Q] ", "[D] "])
    tokenizer.save_pretrained(folder)


def modernbert(folder: Path) -> None:
    small_checkpoint(folder, "modernbert", "")


def stanford(**metadata: Any) -> Form:
    """Weights of the projection beside the transformer's, and `artifact.metadata`."""

    def make(folder: Path) -> None:
        import torch
        from safetensors.torch import load_file, save_file

        bert(folder)
        weights = {f"bert.{name}": value for name, value in load_file(folder / "model.safetensors").items()}
        generator = torch.Generator().manual_seed(3)
        weights["linear.weight"] = torch.randn((8, WIDTH), generator=generator)
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
        config = json.loads((folder / "config.json").read_text()) | {"architectures": ["HF_ColBERT"]}
        (folder / "config.json").write_text(json.dumps(config))
        if metadata:
            (folder / "artifact.metadata").write_text(json.dumps(metadata))

    return make


_PUNCTUATION = {"skiplist_words": [".", ",", "!", "?", "'"]}
_MASK: tuple[str, Files] = ("MultiVectorMask", _PUNCTUATION)
_NORMALIZE: tuple[str, Files] = ("Normalize", {"module_input_name": "token_embeddings"})
_NATIVE = {"model_type": "MultiVectorEncoder", "prompts": {"query": "[Q] ", "document": "[D] "}}
_PYLATE = {
    "model_type": "ColBERT",
    "query_prefix": "[Q] ",
    "document_prefix": "[D] ",
    "query_length": 16,
    "document_length": 24,
    "attend_to_expansion_tokens": False,
    "skiplist_words": ["!", ".", ","],
    "do_query_expansion": True,
}
_EXPANSION = {"strategy": "fixed", "attend": False, "length": 20}
FORMS: Mapping[str, Form] = {
    "native": multi_vector(dense(), _MASK, _NORMALIZE, transformer={"document_length": 20}, **_NATIVE),
    "native, expanded": multi_vector(
        dense(),
        _MASK,
        _NORMALIZE,
        transformer={"query_expansion": _EXPANSION},
        similarity_fn_name="meanmaxsim",
        **_NATIVE,
    ),
    "native, at least": multi_vector(
        dense(WIDTH, 16, bias=True),
        dense(16, 8, use_residual=True),
        ("MultiVectorMask", _PUNCTUATION | {"skiplist_tasks": ["query", "document"]}),
        _NORMALIZE,
        save=modernbert,
        transformer={"query_length": 30, "query_expansion": _EXPANSION | {"strategy": "min", "attend": True}},
        **_NATIVE,
    ),
    "a window": multi_vector(
        dense(),
        _MASK,
        _NORMALIZE,
        save=modernbert,
        transformer={"query_expansion": _EXPANSION | {"length": 40}},
        **_NATIVE,
    ),
    "a causal model": multi_vector(
        dense(), _MASK, _NORMALIZE, save=qwen3, transformer={"query_expansion": _EXPANSION}, **_NATIVE
    ),
    "PyLate": multi_vector(dense(kind="pylate.Dense"), save=bert_with_prefixes, **_PYLATE),
    "PyLate, attended": multi_vector(
        dense(kind="pylate.Dense"), save=bert_with_prefixes, **(_PYLATE | {"attend_to_expansion_tokens": True})
    ),
    "PyLate, not expanded": multi_vector(
        dense(kind="pylate.Dense"), **(_PYLATE | {"do_query_expansion": False, "skiplist_words": None})
    ),
    "Stanford": stanford(query_maxlen=16, doc_maxlen=24, mask_punctuation=True, query_token_id="[UNK]"),
    "Stanford, defaults": stanford(),
}
"""By name."""


def _ask(package: Any, folder: str) -> dict[str, Any]:
    model = package.MultiVectorEncoder(folder, device="cpu")
    queries, documents = model.encode_query(QUERIES, batch_size=1), model.encode_document(DOCUMENTS, batch_size=1)
    found = {"queries": queries, "documents": documents, "scores": model.similarity(queries, documents)}
    return {key: [rounded(value, 5) for value in values] for key, values in found.items()}


if __name__ == "__main__":
    record(VALUES, FORMS, _ask)
