"""Late interaction (ColBERT): checkpoints of sentence-transformers' MultiVectorEncoder, of PyLate and of Stanford.

Each token has a vector. A query and a document differ in their prompts and lengths; a query may be filled up with mask
tokens whose vectors count as well, and documents' punctuation does not count.
"""

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from deployments.checkpoints.files import read_config
from deployments.config import ModelConfig
from deployments.errors import LoadError
from deployments.text.module_files import ModuleFiles
from deployments.text.sentence_transformers import WITHOUT_EFFECT, Reading, dense_layer, normalize_layer, read_reading

if TYPE_CHECKING:
    import torch

Role = Literal["query", "document"]

STANFORD = "HF_ColBERT"  # the architecture of its checkpoints
_KNOBS = ("query_length", "document_length", "query_expansion")
# What PyLate writes among the settings of the model; if any of it is there, queries are expanded by default.
_PYLATES = (
    *_KNOBS,
    "do_query_expansion",
    "attend_to_expansion_tokens",
    "attend_to_mask_tokens",
    "query_prefix",
    "document_prefix",
    "skiplist_words",
)
_TOKENS = "token_embeddings"
_QUERY_LENGTH = 32  # of PyLate and Stanford's ColBERT
_PUNCTUATION = tuple(string.punctuation)
_KINDS = ("ColBERT", "MultiVectorEncoder")  # PyLate's and sentence-transformers' `model_type`
_HINT = "set `pooling` in the configuration to serve its transformer with that pooling"


@dataclass(frozen=True, slots=True)
class Expansion:
    """How queries are filled up.

    Attributes:
        length: tokens that a query has at least.
        is_fixed: and at most.
        attends: whether the tokens of the query attend to those behind it.
        token: to fill up with; None: the mask token, or the end of a text where there is none.
    """

    length: int
    is_fixed: bool = True
    attends: bool = False
    token: str | None = None


@dataclass(frozen=True, slots=True)
class LateInteraction:
    """What the files say.

    Attributes:
        layers: map the vectors of tokens `[…, dim]` to others.
        lengths: maximum number of tokens by role, where it is not the model's own.
        expansion: of queries; None for none.
        skipped_words: tokens that do not count.
        skipped_in: roles in which they do not.
        prefixes: prompts whose first word is one token.
        is_mean: whether a score is the mean over the query's tokens, not their sum.
        reading: how texts are read; its prompts are those of the roles.
    """

    layers: tuple["torch.nn.Module", ...]
    lengths: Mapping[str, int] = field(default_factory=dict)
    expansion: Expansion | None = None
    skipped_words: Sequence[str] = ()
    skipped_in: Sequence[str] = ("document",)
    prefixes: Sequence[str] = ()
    is_mean: bool = False
    reading: Reading = Reading()


def is_late_interaction(config: ModelConfig) -> bool:
    """Whether the checkpoint is for late interaction, and the configuration does not choose a pooling."""
    if config.pooling is not None:
        return False
    files = ModuleFiles(config)
    if not files.modules:
        return STANFORD in (read_config(config.model, config.revision).get("architectures") or ())
    by_pylate = any(module.package.startswith("pylate.") for module in files.modules)
    return by_pylate or files.settings.get("model_type") in _KINDS or "query_prefix" in files.settings


def read_late_interaction(config: ModelConfig, device: str = "cpu") -> LateInteraction:
    """Read the files of the checkpoint.

    Raises:
        LoadError: they require something that is not served, or a file is missing.
    """
    files = ModuleFiles(config)
    return _read_modules(files, device) if files.modules else _read_stanford(files, device)


def _read_modules(files: ModuleFiles, device: str) -> LateInteraction:
    settings, transformer = files.settings, files.transformer
    layers, mask = _layers(files)
    is_pylates = settings.get("model_type") != "MultiVectorEncoder"
    knobs = _pylates_knobs(settings) | {name: transformer[name] for name in _KNOBS if transformer.get(name) is not None}
    if mask is None:
        words = settings.get("skiplist_words")
        mask = {"skiplist_words": _PUNCTUATION if words is None and is_pylates else words}
    if mask.get("keep_only_token_ids"):
        raise files.unsupported("keeps only some tokens of a document (keep_only_token_ids)", _HINT)
    tasks = mask.get("skiplist_tasks") or ["document"]
    prompts, prefixes = _prompts(settings)
    if is_pylates and not any(type(layer).__name__ == "Normalize" for layer in layers):
        layers.append(normalize_layer())
    return LateInteraction(
        layers=tuple(layer.to(device) for layer in layers),
        lengths={role: knobs[f"{role}_length"] for role in ("query", "document") if knobs.get(f"{role}_length")},
        expansion=_expansion(files, knobs.get("query_expansion")),
        skipped_words=mask.get("skiplist_words") or (),
        skipped_in=[tasks] if isinstance(tasks, str) else tasks,
        prefixes=prefixes,
        is_mean=settings.get("similarity_fn_name") == "meanmaxsim",
        reading=replace(read_reading(files), prompts=prompts),
    )


def _read_stanford(files: ModuleFiles, device: str) -> LateInteraction:
    """Its projection is among the transformer's weights, its settings are in `artifact.metadata`."""
    import torch

    settings: dict[str, Any] = files.read("artifact.metadata") or {}
    weight = files.weights("").get("linear.weight")
    if weight is None:
        raise LoadError(f"{files.config.model}: no weights `linear.weight`, which {STANFORD} requires")
    linear = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    linear.load_state_dict({"weight": weight.float()})
    prefixes = {"query": settings.get("query_token_id") or "[unused0]"}
    prefixes["document"] = settings.get("doc_token_id") or "[unused1]"
    prompts = {role: f"{prefix} " for role, prefix in prefixes.items()}
    return LateInteraction(
        layers=(linear.eval().requires_grad_(False).to(device), normalize_layer()),
        lengths={"document": settings["doc_maxlen"]} if settings.get("doc_maxlen") else {},
        expansion=Expansion(
            settings.get("query_maxlen") or _QUERY_LENGTH, attends=bool(settings.get("attend_to_mask_tokens"))
        ),
        skipped_words=_PUNCTUATION if settings.get("mask_punctuation", True) else (),
        prefixes=tuple(prompts.values()),
        reading=replace(read_reading(files), prompts=prompts),
    )


def _layers(files: ModuleFiles) -> tuple[list["torch.nn.Module"], dict[str, Any] | None]:
    """The layers after the transformer, and the settings of MultiVectorMask."""
    first, *others = files.modules
    layers: list[torch.nn.Module] = []
    mask: dict[str, Any] | None = None
    for module in others:
        if module.kind == "Dense":
            layers.append(dense_layer(files, module, _TOKENS, _HINT))
        elif module.kind == "Normalize":
            if (files.read(f"{module.folder}/config.json") or {}).get("module_input_name") == _TOKENS:
                layers.append(normalize_layer())
        elif module.kind == "MultiVectorMask":
            mask = files.required(module.folder)
        elif module.kind not in WITHOUT_EFFECT:
            raise files.unsupported(f"requires {module.kind} for late interaction", _HINT)
    if first.kind != "Transformer":
        raise files.unsupported(f"requires {first.kind}", _HINT)
    return layers, mask


def _pylates_knobs(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Lengths and expansion among the settings of the model, as PyLate writes them."""
    knobs = {name: settings[name] for name in _KNOBS if settings.get(name) is not None}
    if "query_expansion" in settings or not any(name in settings for name in _PYLATES):
        return knobs
    if settings.get("do_query_expansion") is False:
        return knobs
    attends = settings.get("attend_to_expansion_tokens", settings.get("attend_to_mask_tokens"))
    length = knobs.pop("query_length", None) or _QUERY_LENGTH
    return knobs | {"query_expansion": {"strategy": "fixed", "length": length, "attend": bool(attends)}}


def _expansion(files: ModuleFiles, settings: Mapping[str, Any] | None) -> Expansion | None:
    if settings is None:
        return None
    strategy, length = settings.get("strategy"), settings.get("length")
    if strategy not in ("fixed", "min") or not isinstance(length, int) or length < 1:
        raise files.unsupported(f"expands queries by {dict(settings)}", _HINT)
    return Expansion(length, strategy == "fixed", bool(settings.get("attend")), settings.get("token"))


def _prompts(settings: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """The prompts by role, and the prefixes among them that PyLate inserts as tokens."""
    prompts = {role: text for role, text in (settings.get("prompts") or {}).items() if text}
    prefixes = []
    for role in ("query", "document"):
        if f"{role}_prefix" in settings:
            prefix = settings[f"{role}_prefix"] or ""
            prefixes.append(prefix)
            prompts[role] = prefix + prompts.get(role, "").removeprefix(prefix)
    return prompts, prefixes


def as_tokens(tokenizer: Any, prefixes: Sequence[str]) -> None:
    """Let a tokenizer read a prefix that is in its vocabulary as one token, whole or up to its first space."""
    from tokenizers import AddedToken

    known = tokenizer.get_vocab()
    missing = []
    for prefix in (prefix for prefix in prefixes if prefix.split()):
        token = next((token for token in (prefix, prefix.split(None, 1)[0]) if token in known), None)
        if token is not None and tokenizer.tokenize(token) != [token]:
            missing.append(AddedToken(token, normalized=False, special=True))
    if missing:
        tokenizer.add_special_tokens({"additional_special_tokens": missing})


def token_ids(tokenizer: Any, words: Sequence[str]) -> set[int]:
    """The ids of the words that are tokens."""
    ids = {tokenizer.convert_tokens_to_ids(word) for word in words if word != tokenizer.unk_token}
    return {id_ for id_ in ids if id_ is not None and id_ != tokenizer.unk_token_id}


def expansion_id(tokenizer: Any, expansion: Expansion, name: str) -> int:
    """The id of the token that queries are filled up with.

    Raises:
        LoadError: the tokenizer of the checkpoint `name` lacks it.
    """
    if expansion.token is not None:
        found = tokenizer.convert_tokens_to_ids(expansion.token)
        if found == tokenizer.unk_token_id and expansion.token != tokenizer.unk_token:
            found = None
    else:
        found = tokenizer.mask_token_id if tokenizer.mask_token_id is not None else tokenizer.eos_token_id
    if found is None:
        raise LoadError(f"{name}: queries are expanded by {expansion.token or 'mask tokens'}, not a token here")
    return int(found)
