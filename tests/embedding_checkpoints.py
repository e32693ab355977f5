"""Small checkpoints in every form in which sentence-transformers writes them, and the vectors that it computes.

The vectors are in `embedding_vectors.json` beside this file: `python -m tests.embedding_checkpoints` writes them, where
sentence-transformers is installed. It is no dependency of the tests, as it would slow down each start of transformers.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.checkpoints import SENTENCES, draw_weights, small_checkpoint, small_tokenizer

VECTORS = Path(__file__).with_name("embedding_vectors.json")
SIMILAR = Path(__file__).with_name("embedding_similarities.json")
RELEASE = "6.2.0"  # of sentence-transformers
TEXTS = [*SENTENCES[:4], SENTENCES[10], "One", "UPPER and lower"]
WIDTH = 32

Files = Mapping[str, Any]  # by name within the folder
Form = Callable[[Path], None]

_LEGACY, _NOW = "sentence_transformers.models.{}", "sentence_transformers.sentence_transformer.modules.{}"
_TANH, _IDENTITY = "torch.nn.modules.activation.Tanh", "torch.nn.modules.linear.Identity"
_PROMPTS = {"prompts": {"query": "Represent the question: ", "document": ""}, "default_prompt_name": "query"}


def write_modules(folder: Path, modules: Sequence[tuple[str, Files]], package: str = _LEGACY, inner: str = "") -> None:
    """Write `modules.json` and the configuration of each module but the first, which is in the folder `inner`."""
    places = [inner, *(f"{number}_{kind}" for number, (kind, _) in enumerate(modules[1:], 1))]
    entries = [
        {"idx": index, "name": str(index), "path": path, "type": package.format(kind)}
        for index, (path, (kind, _)) in enumerate(zip(places, modules, strict=True))
    ]
    (folder / "modules.json").write_text(json.dumps(entries))
    for place, (_, settings) in list(zip(places, modules, strict=True))[1:]:
        (folder / place).mkdir(exist_ok=True)
        (folder / place / "config.json").write_text(json.dumps(settings))


def pooling(**settings: Any) -> tuple[str, Files]:
    return "Pooling", {"word_embedding_dimension": WIDTH, **settings}


def dense(
    inputs: int, outputs: int, activation: str | None = None, *, bias: bool = True, **others: Any
) -> tuple[str, Files]:
    settings = {"in_features": inputs, "out_features": outputs, "bias": bias, **others}
    return "Dense", settings if activation is None else settings | {"activation_function": activation}


def form(
    *modules: tuple[str, Files],
    family: str = "bert",
    head: str = "",
    package: str = _LEGACY,
    files: Files | None = None,
    save: Callable[[Path], None] | None = None,
    inner: str = "",
) -> Form:
    """A checkpoint: a transformer of a family with the head, the modules after it, and other files."""

    def make(folder: Path) -> None:
        (save or (lambda folder: _transformer(folder, family, head)))(folder / inner)
        write_modules(folder, [("Transformer", {}), *modules], package, inner)
        draw_dense(folder)
        for name, content in (files or {}).items():
            (folder / name).write_text(json.dumps(content))

    return make


def _transformer(folder: Path, family: str, head: str) -> None:
    small_checkpoint(folder, family, head)


def draw_dense(folder: Path) -> None:
    """Weights of each Dense layer in the folder."""
    import torch
    from safetensors.torch import save_file

    for number, path in enumerate(sorted(folder.glob("*_Dense"))):
        settings = json.loads((path / "config.json").read_text())
        generator = torch.Generator().manual_seed(number)
        shape = (settings["out_features"], settings["in_features"])
        weights = {"linear.weight": torch.randn(shape, generator=generator) / shape[1] ** 0.5}
        if settings["bias"]:
            weights["linear.bias"] = torch.randn(shape[0], generator=generator)
        if settings.get("use_residual") and shape[0] != shape[1]:
            weights["residual.weight"] = torch.randn(shape, generator=generator) / shape[1] ** 0.5
        if number:
            torch.save(weights, path / "pytorch_model.bin")  # as until 2023
        else:
            save_file(weights, path / "model.safetensors")


def _save(folder: Path, name: str, **settings: Any) -> None:
    """A model of a class of transformers with a byte-level tokenizer."""
    import transformers

    tokenizer = small_tokenizer("bytelevel", folder)
    kind = getattr(transformers, name)
    tokens = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    model = kind(kind.config_class(vocab_size=len(tokenizer), **tokens, **settings))
    draw_weights(model, 0)
    model.eval().save_pretrained(folder)


def qwen3(folder: Path) -> None:
    """A Qwen3 with its language-model head."""
    sizes = {"hidden_size": WIDTH, "intermediate_size": 64, "num_hidden_layers": 2, "head_dim": 8}
    _save(folder, "Qwen3ForCausalLM", num_attention_heads=4, num_key_value_heads=2, **sizes)


def _t5(name: str) -> Callable[[Path], None]:
    sizes = {"d_model": WIDTH, "d_ff": 64, "num_layers": 2, "num_heads": 4, "d_kv": 8}
    return lambda folder: _save(folder, name, decoder_start_token_id=1, **sizes)


_MEAN = pooling(pooling_mode="mean")
_NORMALIZE: tuple[str, Files] = ("Normalize", {})
FORMS: Mapping[str, Form] = {
    **{
        mode: form(pooling(pooling_mode=mode), package=_NOW)
        for mode in ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
    },
    "several": form(pooling(pooling_mode=["lasttoken", "mean"])),
    "flags of one mode": form(pooling(pooling_mode_cls_token=True, pooling_mode_mean_tokens=False)),
    "flags of several": form(pooling(pooling_mode_weightedmean_tokens=True, pooling_mode_max_tokens=True), _NORMALIZE),
    "no flag": form(pooling(pooling_mode_cls_token=False, pooling_mode_mean_tokens=False)),
    "a prompt that is pooled": form(_MEAN, files={"config_sentence_transformers.json": _PROMPTS}),
    **{
        f"a prompt that is not pooled, {mode}": form(
            pooling(pooling_mode=mode, include_prompt=False),
            family=family,
            files={"config_sentence_transformers.json": _PROMPTS},
        )
        for mode, family in [
            ("mean", "bert"),
            ("cls", "roberta"),
            ("max", "roberta"),
            ("weightedmean", "bert"),
            ("mean_sqrt_len_tokens", "roberta"),
        ]
    },
    "a layer": form(_MEAN, dense(WIDTH, 16)),
    "a layer, normalized": form(pooling(pooling_mode="cls"), dense(WIDTH, WIDTH, _TANH), _NORMALIZE),
    "two layers": form(_MEAN, dense(WIDTH, 64, _IDENTITY, bias=False), dense(64, 8, _IDENTITY, bias=False), _NORMALIZE),
    "a layer after normalization": form(_MEAN, _NORMALIZE, dense(WIDTH, 8, "torch.nn.modules.activation.GELU")),
    "a layer over several": form(pooling(pooling_mode=["cls", "max"]), dense(2 * WIDTH, 8)),
    "a folder of its own": form(
        _MEAN, inner="0_Transformer", files={"0_Transformer/sentence_bert_config.json": {"max_seq_length": 9}}
    ),
    "a folder of its own, and a release": form(
        _MEAN, inner="0_Transformer", files={"config.json": {"__version__": "0.2.0"}}
    ),
    "residual connections": form(_MEAN, dense(WIDTH, WIDTH, use_residual=True), dense(WIDTH, 8, use_residual=True)),
    "dropout": form(_MEAN, ("Dropout", {"dropout": 0.5}), _NORMALIZE),
    "lower case": form(_MEAN, family="roberta", files={"sentence_bert_config.json": {"do_lower_case": True}}),
    **{
        f"length of {name}": form(
            _MEAN, family="roberta", files={f"sentence_{name}_config.json": {"max_seq_length": 9}}
        )
        for name in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
    },
    "a masked language model": form(_MEAN, _NORMALIZE, family="mpnet", head="MaskedLM"),
    "a causal language model": form(
        pooling(pooling_mode="lasttoken"),
        _NORMALIZE,
        save=qwen3,
        files={"config_sentence_transformers.json": _PROMPTS},
    ),
    "T5's encoder": form(_MEAN, dense(WIDTH, 16, _IDENTITY, bias=False), _NORMALIZE, save=_t5("T5EncoderModel")),
    "T5 with its decoder": form(_MEAN, save=_t5("T5ForConditionalGeneration")),
}
"""By name."""

SIMILARITIES: Mapping[str, Form] = {
    name: form(_MEAN, files={"config_sentence_transformers.json": {"similarity_fn_name": name}})
    for name in ("cosine", "dot", "euclidean", "manhattan")
}
"""By the name of the similarity. The values are those of the first text with the others."""


def record(file: Path, forms: Mapping[str, Form], ask: Callable[[Any, str], Any]) -> None:
    """Write into a JSON file what sentence-transformers answers for each form.

    Args:
        file: a line for each form.
        forms: by name.
        ask: given the package and the folder of a checkpoint, what to write.
    """
    import sentence_transformers
    import torch

    assert sentence_transformers.__version__ == RELEASE
    torch.set_num_threads(1)
    lines = []
    for name, make in forms.items():
        with TemporaryDirectory() as folder:
            make(Path(folder))
            lines.append(f"{json.dumps(name)}: {json.dumps(ask(sentence_transformers, folder))}")
    file.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def rounded(values: Any, digits: int = 6) -> Any:
    """An array or a tensor as lists."""
    return [rounded(value, digits) for value in values] if values.ndim else round(float(values), digits)


def _similarities(package: Any, folder: str) -> Any:
    model = package.SentenceTransformer(folder, device="cpu")
    first, *others = model.encode(TEXTS, batch_size=1)
    return rounded(model.similarity([first], others))


def _record() -> None:
    record(
        VECTORS,
        FORMS,
        lambda package, folder: rounded(package.SentenceTransformer(folder, device="cpu").encode(TEXTS, batch_size=1)),
    )
    record(SIMILAR, SIMILARITIES, _similarities)


if __name__ == "__main__":
    _record()
