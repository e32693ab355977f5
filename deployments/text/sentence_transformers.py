"""The files of sentence-transformers in a checkpoint: what follows the transformer, prompts, and how texts are read."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deployments.checkpoints.files import find_file
from deployments.config import ModelConfig, Pooling
from deployments.errors import LoadError

if TYPE_CHECKING:
    import torch

MODULES = "modules.json"
SETTINGS = "config_sentence_transformers.json"
# The settings of the transformer, in the order in which sentence-transformers looks for them.
LENGTHS = tuple(
    f"sentence_{family}_config.json"
    for family in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
# Files before release 5.4 have a flag for each mode, in the order in which the vectors of several are joined.
_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_WITHOUT_EFFECT = ("Dropout",)  # in training alone
_VECTOR = "sentence_embedding"  # what a Dense layer reads and writes


@dataclass(frozen=True, slots=True)
class Embedding:
    """What the files say.

    Attributes:
        pooling: None if the checkpoint has none. It normalizes if that is the last module.
        includes_prompt: whether the positions of a prompt are pooled, too.
        layers: modules between pooling and the end, which map vectors `[rows, dim]` to others; without normalization at
            the end.
        prompts: texts to prepend, by name.
        default_prompt: name of the prompt for requests that name none.
        max_length: maximum number of tokens, or None.
        lower_case: whether texts are read in lower case, whatever the tokenizer does.
    """

    pooling: Pooling | None = None
    includes_prompt: bool = True
    layers: tuple["torch.nn.Module", ...] = ()
    prompts: dict[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    max_length: int | None = None
    lower_case: bool = False


def is_embedding_model(config: ModelConfig) -> bool:
    """Whether sentence-transformers wrote the checkpoint for vectors, whatever its architecture is for.

    Raises:
        LoadError: it wrote it for something that is not served.
    """
    if _read(config, MODULES) is None:
        return False
    kind = (_read(config, SETTINGS) or {}).get("model_type", "SentenceTransformer")
    if kind == "CrossEncoder":
        if "LogitScore" in (module["type"].rsplit(".", 1)[-1] for module in _read(config, MODULES)):
            raise LoadError(
                f"{config.model}: a reranker that scores by the logits of two tokens (LogitScore) is not supported; to "
                "generate text with it, set `task: text-generation`"
            )
        return False
    if kind != "SentenceTransformer":
        raise LoadError(
            f"{config.model}: sentence-transformers' {kind} is not supported; to serve its transformer for another "
            "task, set `task`"
        )
    return True


def read_embedding(config: ModelConfig, device: str = "cpu") -> Embedding:
    """Read `modules.json` and the files that it names. A configured pooling replaces everything after the transformer.

    Raises:
        LoadError: the files require a module that is not served, or a file is missing.
    """
    settings = _read(config, SETTINGS) or {}
    transformer: dict[str, Any] = next((found for name in LENGTHS if (found := _read(config, name))), {})
    modules = (config.pooling, True, ()) if config.pooling is not None else _modules(config, device)
    pooling, includes_prompt, layers = modules
    return Embedding(
        pooling=pooling if pooling is not None and pooling.modes else None,
        includes_prompt=includes_prompt,
        layers=layers,
        prompts=settings.get("prompts") or {},
        default_prompt=settings.get("default_prompt_name"),
        max_length=transformer.get("max_seq_length"),
        lower_case=transformer.get("do_lower_case", False),
    )


def lower_cased(tokenizer: Any) -> None:
    """Let a fast tokenizer read texts in lower case, as `do_lower_case` asks."""
    from tokenizers import normalizers

    backend = tokenizer.backend_tokenizer
    before: Any = backend.normalizer
    is_several = isinstance(before, normalizers.Sequence)
    parts: list[Any] = [before[index] for index in range(len(before))] if is_several else [before] if before else []
    if not any(isinstance(part, normalizers.Lowercase) for part in parts):
        backend.normalizer = normalizers.Sequence([normalizers.Lowercase(), *parts])


def _modules(config: ModelConfig, device: str) -> tuple[Pooling | None, bool, tuple["torch.nn.Module", ...]]:
    """Pooling, whether it includes prompts, and the layers after it."""
    modules = [(module["type"].rsplit(".", 1)[-1], module["path"]) for module in _read(config, MODULES) or ()]
    kinds = [kind for kind, _ in modules]
    served = [*_LAYERS, *_WITHOUT_EFFECT, "Transformer", "Pooling"]
    if unknown := sorted(set(kinds) - set(served)):
        raise _unsupported(config, f"requires {', '.join(unknown)}")
    if "Pooling" not in kinds:
        return None, True, ()
    place = kinds.index("Pooling")
    after = [module for module in modules[place + 1 :] if module[0] not in _WITHOUT_EFFECT]
    if place > 1 or not {kind for kind, _ in after} <= set(_LAYERS):
        raise _unsupported(config, f"has modules in the order {', '.join(kinds)}")
    modes, includes_prompt = _pooling(config, modules[place][1])
    normalize = bool(after) and after[-1][0] == "Normalize"
    layers = tuple(_LAYERS[kind](config, path).to(device) for kind, path in (after[:-1] if normalize else after))
    mode = modes[0] if len(modes) == 1 else tuple(modes)
    return Pooling.model_validate({"mode": mode, "normalize": normalize}), includes_prompt, layers


def _pooling(config: ModelConfig, folder: str) -> tuple[Sequence[str], bool]:
    settings = _required(config, f"{folder}/config.json")
    modes = settings.get("pooling_mode") or [mode for flag, mode in _FLAGS.items() if settings.get(flag)] or "mean"
    names = [modes] if isinstance(modes, str) else modes
    if unknown := sorted(set(names) - set(_FLAGS.values())):
        raise _unsupported(config, f"requires pooling by {', '.join(unknown)}")
    return ["last" if name == "lasttoken" else name for name in names], settings.get("include_prompt", True)


def _dense(config: ModelConfig, folder: str) -> "torch.nn.Module":
    """A linear layer with an activation."""
    import torch

    settings = _required(config, f"{folder}/config.json")
    names = {settings.get(key) or _VECTOR for key in ("module_input_name", "module_output_name")}
    if others := sorted(names - {_VECTOR}):
        raise _unsupported(config, f"requires a Dense layer for {', '.join(others)}")
    if settings.get("use_residual"):
        raise _unsupported(config, "requires a Dense layer with a residual connection")
    linear = torch.nn.Linear(settings["in_features"], settings["out_features"], bias=settings.get("bias", True))
    weights = {name.removeprefix("linear."): value.float() for name, value in _weights(config, folder).items()}
    try:
        linear.load_state_dict(weights)
    except RuntimeError as error:
        raise LoadError(f"{config.model}: the weights in {folder} do not fit ({error})") from error
    name = settings.get("activation_function", "torch.nn.modules.activation.Tanh")
    activation = getattr(torch.nn, name.rsplit(".", 1)[-1], None) if name.startswith("torch.nn.") else None
    if not (isinstance(activation, type) and issubclass(activation, torch.nn.Module)):
        raise _unsupported(config, f"requires the activation {name}")
    return torch.nn.Sequential(linear, activation()).eval().requires_grad_(False)


def _normalize(config: ModelConfig, folder: str) -> "torch.nn.Module":
    import torch

    class Normalize(torch.nn.Module):
        def forward(self, vectors: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.normalize(vectors, dim=-1)

    return Normalize()


_LAYERS = {"Dense": _dense, "Normalize": _normalize}


def _weights(config: ModelConfig, folder: str) -> dict[str, "torch.Tensor"]:
    import torch
    from safetensors.torch import load_file

    if path := _find(config, f"{folder}/model.safetensors"):
        return load_file(path)
    if path := _find(config, f"{folder}/pytorch_model.bin"):
        weights: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        return weights
    raise LoadError(f"{config.model}: {MODULES} requires weights in {folder}, which are missing")


def _unsupported(config: ModelConfig, what: str) -> LoadError:
    hint = "set `pooling` in the configuration to serve the transformer with that pooling alone"
    return LoadError(f"{config.model}: {MODULES} {what}, which is not supported; {hint}")


def _required(config: ModelConfig, name: str) -> dict[str, Any]:
    found: dict[str, Any] | None = _read(config, name)
    if found is None:
        raise LoadError(f"{config.model}: {MODULES} requires {name}, which is missing")
    return found


def _read(config: ModelConfig, name: str) -> Any:
    path = _find(config, name)
    return None if path is None else json.loads(path.read_text(encoding="utf-8"))


def _find(config: ModelConfig, name: str) -> Path | None:
    return find_file(config.model, name, config.revision)
