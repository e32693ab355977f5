"""Embedding models of sentence-transformers: what follows the transformer, prompts, and how texts are read."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from deployments.config import ModelConfig, Pooling
from deployments.errors import LoadError
from deployments.text.module_files import Module, ModuleFiles

if TYPE_CHECKING:
    import torch

# Files before release 5.4 have a flag for each mode, in the order in which the vectors of several are joined.
_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
WITHOUT_EFFECT = ("Dropout",)  # in training alone
_LAYERS = ("Dense", "Normalize")
_OTHER_FORMS = ("SparseEncoder", "MultiVectorEncoder", "ColBERT")  # of the task; a configured pooling replaces them
_VECTOR = "sentence_embedding"  # what a Dense layer reads and writes
_HINT = "set `pooling` in the configuration to serve the transformer with that pooling alone"


@dataclass(frozen=True, slots=True)
class Reading:
    """How texts are read, and compared.

    Attributes:
        prompts: texts to prepend, by name.
        default_prompt: name of the prompt for requests that name none.
        max_length: maximum number of tokens, or None.
        lower_case: whether texts are read in lower case, whatever the tokenizer does.
        similarity: name of the similarity of two vectors, if the files name one.
    """

    prompts: dict[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    max_length: int | None = None
    lower_case: bool = False
    similarity: str | None = None


@dataclass(frozen=True, slots=True)
class Embedding:
    """What the files of an embedding model say.

    Attributes:
        pooling: None if the checkpoint has none. It normalizes if that is the last module.
        includes_prompt: whether the positions of a prompt are pooled, too.
        layers: modules between pooling and the end, which map vectors `[rows, dim]` to others; without normalization at
            the end.
        reading: how texts are read.
    """

    pooling: Pooling | None = None
    includes_prompt: bool = True
    layers: tuple["torch.nn.Module", ...] = ()
    reading: Reading = Reading()


def is_embedding_model(config: ModelConfig) -> bool:
    """Whether sentence-transformers wrote the checkpoint for vectors, whatever its architecture is for.

    Raises:
        LoadError: it wrote it for something that is not served.
    """
    files = ModuleFiles(config)
    kind = files.settings.get("model_type", "SentenceTransformer")
    if not files.modules or kind == "CrossEncoder":
        return False
    if "StaticEmbedding" in files.kinds:
        raise LoadError(
            f"{config.model}: its vectors are a table of words (StaticEmbedding, model2vec), without a model of "
            "transformers, which is not served; look them up in the client, with sentence-transformers or model2vec"
        )
    if kind in _OTHER_FORMS:
        return config.pooling is not None
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
    files = ModuleFiles(config)
    modules = (config.pooling, True, ()) if config.pooling is not None else _modules(files, device)
    pooling, includes_prompt, layers = modules
    return Embedding(
        pooling=pooling if pooling is not None and pooling.modes else None,
        includes_prompt=includes_prompt,
        layers=layers,
        reading=read_reading(files),
    )


def read_reading(files: ModuleFiles) -> Reading:
    """How texts are read, by the settings of the model and of its transformer."""
    return Reading(
        prompts=files.settings.get("prompts") or {},
        default_prompt=files.settings.get("default_prompt_name"),
        max_length=files.transformer.get("max_seq_length"),
        lower_case=files.transformer.get("do_lower_case", False),
        similarity=files.settings.get("similarity_fn_name"),
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


def _modules(files: ModuleFiles, device: str) -> tuple[Pooling | None, bool, tuple["torch.nn.Module", ...]]:
    """Pooling, whether it includes prompts, and the layers after it."""
    kinds = files.kinds
    served = [*_LAYERS, *WITHOUT_EFFECT, "Transformer", "Pooling"]
    if unknown := sorted(set(kinds) - set(served)):
        raise files.unsupported(f"requires {', '.join(unknown)}", _HINT)
    if "Pooling" not in kinds:
        return None, True, ()
    place = kinds.index("Pooling")
    after = [module for module in files.modules[place + 1 :] if module.kind not in WITHOUT_EFFECT]
    if place > 1 or not {module.kind for module in after} <= set(_LAYERS):
        raise files.unsupported(f"has modules in the order {', '.join(kinds)}", _HINT)
    modes, includes_prompt = _pooling(files, files.modules[place].folder)
    normalize = bool(after) and after[-1].kind == "Normalize"
    layers = (_layer(files, module) for module in (after[:-1] if normalize else after))
    mode = modes[0] if len(modes) == 1 else tuple(modes)
    pooling = Pooling.model_validate({"mode": mode, "normalize": normalize})
    return pooling, includes_prompt, tuple(layer.to(device) for layer in layers)


def _pooling(files: ModuleFiles, folder: str) -> tuple[Sequence[str], bool]:
    settings = files.required(folder)
    modes = settings.get("pooling_mode") or [mode for flag, mode in _FLAGS.items() if settings.get(flag)] or "mean"
    names = [modes] if isinstance(modes, str) else modes
    if unknown := sorted(set(names) - set(_FLAGS.values())):
        raise files.unsupported(f"requires pooling by {', '.join(unknown)}", _HINT)
    return ["last" if name == "lasttoken" else name for name in names], settings.get("include_prompt", True)


def dense_layer(files: ModuleFiles, module: Module, vector: str, hint: str) -> "torch.nn.Module":
    """A linear layer with an activation, and perhaps a residual connection.

    Args:
        files: of the checkpoint.
        module: the layer's entry.
        vector: what it must read and write.
        hint: says what to do if it does not.

    Raises:
        LoadError: it is not served, or its files are damaged.
    """
    settings = files.required(module.folder)
    names = {settings.get(key) or vector for key in ("module_input_name", "module_output_name")}
    if (others := sorted(names - {vector})) and not module.package.startswith("pylate."):  # which reads tokens alone
        raise files.unsupported(f"requires a Dense layer for {', '.join(others)}", hint)
    layer = _dense(settings, _activation(files, settings, hint))
    try:
        layer.load_state_dict({name: value.float() for name, value in files.weights(module.folder).items()})
    except RuntimeError as error:
        raise LoadError(f"{files.config.model}: the weights in {module.folder} do not fit ({error})") from error
    return layer.eval().requires_grad_(False)


def _dense(settings: dict[str, Any], activation: "torch.nn.Module") -> "torch.nn.Module":
    import torch

    inputs, outputs = settings["in_features"], settings["out_features"]

    class Dense(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(inputs, outputs, bias=settings.get("bias", True))
            if settings.get("use_residual") and inputs != outputs:
                self.residual = torch.nn.Linear(inputs, outputs, bias=False)

        def forward(self, vectors: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = activation(self.linear(vectors))
            if not settings.get("use_residual"):
                return found
            return found + (vectors if inputs == outputs else self.residual(vectors))

    return Dense()


def _activation(files: ModuleFiles, settings: dict[str, Any], hint: str) -> "torch.nn.Module":
    import torch

    name = settings.get("activation_function", "torch.nn.modules.activation.Tanh")
    kind = getattr(torch.nn, name.rsplit(".", 1)[-1], None) if name.startswith("torch.nn.") else None
    if not (isinstance(kind, type) and issubclass(kind, torch.nn.Module)):
        raise files.unsupported(f"requires the activation {name}", hint)
    return kind()


def normalize_layer() -> "torch.nn.Module":
    """Scales vectors to length 1."""
    import torch

    class Normalize(torch.nn.Module):
        def forward(self, vectors: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.normalize(vectors, dim=-1)

    return Normalize()


def _layer(files: ModuleFiles, module: Module) -> "torch.nn.Module":
    return normalize_layer() if module.kind == "Normalize" else dense_layer(files, module, _VECTOR, _HINT)
