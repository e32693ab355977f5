"""ModuleFiles: the files that sentence-transformers writes beside a transformer, `modules.json` first."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from deployments.checkpoints.files import MODULES, find_file, read_json
from deployments.config import ModelConfig
from deployments.errors import LoadError

if TYPE_CHECKING:
    import torch

SETTINGS = "config_sentence_transformers.json"
# The settings of the transformer, in the order in which sentence-transformers looks for them.
LENGTHS = tuple(
    f"sentence_{family}_config.json"
    for family in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)


class Module(NamedTuple):
    """An entry of `modules.json`.

    Attributes:
        kind: its class, such as `Pooling`.
        folder: of its files; "" is the checkpoint's own.
        package: of its class.
    """

    kind: str
    folder: str
    package: str


class ModuleFiles:
    """The files of one checkpoint. All are absent in a checkpoint of transformers alone.

    Args:
        config: the model's configuration.
    """

    def __init__(self, config: ModelConfig) -> None:
        self.config = config

    @cached_property
    def modules(self) -> list[Module]:
        """In the order in which they are applied; none without `modules.json`."""
        entries = read_json(self.config.model, MODULES, self.config.revision, list) or ()
        parts = [(entry["type"].rpartition("."), entry["path"]) for entry in entries]
        return [Module(kind, path, package) for (package, _, kind), path in parts]

    @cached_property
    def kinds(self) -> list[str]:
        """The classes of the modules."""
        return [module.kind for module in self.modules]

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Prompts, and what the model is for."""
        return self.read(SETTINGS) or {}

    @cached_property
    def transformer(self) -> dict[str, Any]:
        """Settings of the transformer: lengths, and how texts are read."""
        folder = self.modules[0].folder if self.modules else ""
        places = [f"{folder}/{name}" if folder else name for name in LENGTHS]
        return next((found for name in places if (found := self.read(name))), {})

    def read(self, name: str) -> Any:
        """A JSON file's object; None if there is no such file.

        Raises:
            LoadError: it is not a JSON object.
        """
        return read_json(self.config.model, name, self.config.revision)

    def required(self, folder: str) -> dict[str, Any]:
        """The configuration of a module.

        Raises:
            LoadError: it is missing.
        """
        found: dict[str, Any] | None = self.read(f"{folder}/config.json")
        if found is None:
            raise LoadError(f"{self.config.model}: {MODULES} requires {folder}/config.json, which is missing")
        return found

    def weights(self, folder: str) -> dict[str, "torch.Tensor"]:
        """The weights of a module; "" are the transformer's.

        Raises:
            LoadError: they are missing.
        """
        import torch
        from safetensors.torch import load_file

        place = f"{folder}/" if folder else ""
        if path := self._find(f"{place}model.safetensors"):
            return load_file(path)
        if path := self._find(f"{place}pytorch_model.bin"):
            weights: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
            return weights
        raise LoadError(f"{self.config.model}: {MODULES} requires weights in {folder or '.'}, which are missing")

    def unsupported(self, what: str, hint: str) -> LoadError:
        """The error for what the modules require and is not served; `hint` says what to do."""
        return LoadError(f"{self.config.model}: {MODULES} {what}, which is not supported; {hint}")

    def _find(self, name: str) -> Path | None:
        return find_file(self.config.model, name, self.config.revision)
