"""Adapters of PEFT (LoRA and its relatives): weights that change those of a base model, into which they are merged."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deployments.errors import LoadError

if TYPE_CHECKING:
    import torch

ADAPTER = "adapter_config.json"
# What `architectures` would end with.
_ARCHITECTURES = {
    "SEQ_CLS": "ForSequenceClassification",
    "TOKEN_CLS": "ForTokenClassification",
    "QUESTION_ANS": "ForQuestionAnswering",
    "CAUSAL_LM": "ForCausalLM",
    "SEQ_2_SEQ_LM": "ForConditionalGeneration",
    "FEATURE_EXTRACTION": "Model",
}
# They add tokens to each input and cannot become part of the weights.
_UNMERGEABLE = ("PROMPT_TUNING", "PREFIX_TUNING", "P_TUNING", "MULTITASK_PROMPT_TUNING", "ADAPTION_PROMPT", "CPT")
_FILES = ("adapter_model.safetensors", "adapter_model.bin")
_PREFIX = "base_model.model."  # of the names of weights in an adapter's file


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter as its configuration describes it.

    Attributes:
        folder: with its files.
        kind: PEFT's type, such as "LORA".
        base: the model to apply it to, as it is named; None if the checkpoint has that model's weights itself.
        base_revision: of the base on the hub; None: the newest.
        architecture: ending of an architecture that it was trained for; None if it does not say.
    """

    folder: Path
    kind: str
    base: str | None
    base_revision: str | None
    architecture: str | None

    def local_base(self) -> Path | None:
        """The folder of the base: as it is named, from here or from the adapter, or beside the adapter."""
        assert self.base is not None
        named = Path(self.base).expanduser()
        candidates = (self.folder / named, self.folder.parent / named.name, named)
        return next((path.resolve() for path in candidates if (path / "config.json").is_file()), None)


def parse_adapter(model: str, path: Path, *, has_weights: bool) -> Adapter:
    """Read an adapter's configuration.

    Args:
        model: the checkpoint, for messages.
        path: of `adapter_config.json`.
        has_weights: whether the checkpoint has the weights of the base, too.

    Raises:
        LoadError: damaged, of a kind that cannot be merged, or it does not name its base.
    """
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise LoadError(f"{path}: not readable as JSON ({error})") from error
    kind, base = str(settings.get("peft_type", "")), settings.get("base_model_name_or_path")
    if kind in _UNMERGEABLE:
        raise LoadError(
            f"{model}: an adapter of the type {kind} adds tokens to each input and cannot be merged into the weights; "
            "it is not supported"
        )
    if not has_weights and not base:
        raise LoadError(f"{model}: an adapter ({kind}) alone; {ADAPTER} does not name its base_model_name_or_path")
    return Adapter(
        path.parent,
        kind,
        None if has_weights else str(base),
        settings.get("revision"),
        _ARCHITECTURES.get(settings.get("task_type")),
    )


def require_peft(model: str, adapter: Adapter) -> None:
    """Reject an adapter where PEFT is not installed.

    Raises:
        LoadError: it is not.
    """
    if find_spec("peft") is None:
        raise LoadError(
            f"{model}: an adapter ({adapter.kind}) needs PEFT: pip install 'automodel-serve[peft]'; or merge it into "
            "the weights (merge_and_unload)"
        )


class AdapterWeights:
    """The weights of an adapter, to be merged into its base.

    Args:
        model: the checkpoint, for messages.
        adapter: its description.

    Raises:
        LoadError: the file is missing or damaged.
    """

    def __init__(self, model: str, adapter: Adapter) -> None:
        from peft import load_peft_weights

        self._model, self._adapter = model, adapter
        if not any((adapter.folder / name).is_file() for name in _FILES):
            raise LoadError(f"{model}: an adapter ({adapter.kind}) without its weights ({_FILES[0]})")
        try:
            self._weights: Mapping[str, torch.Tensor] = load_peft_weights(str(adapter.folder), device="cpu")
        except Exception as error:  # the file libraries' own classes
            raise LoadError(f"{model}: the adapter's weights cannot be read ({error})") from error

    def by_base_name(self) -> dict[str, "torch.Tensor"]:
        """All weights by the names that they would have in the base; those of a head take the place of the base's."""
        return {name.removeprefix(_PREFIX): value for name, value in self._weights.items()}

    def labels(self, base: Any) -> int | None:
        """The number of labels of the adapter's head, if it is not the base's."""
        state, labels = base.state_dict(), base.config.num_labels
        for name, value in self.by_base_name().items():
            own, new = tuple(state[name].shape) if name in state else (), tuple(value.shape)
            if own[:1] == (labels,) and own != new and own[1:] == new[1:]:
                return int(value.shape[0])
        return None

    def merge(self, base: Any) -> Any:
        """The base with the adapter in its weights; `base` itself is used up.

        Raises:
            LoadError: the adapter does not fit the base, or parts of it would be left out.
        """
        from peft import PeftConfig, get_peft_model, set_peft_model_state_dict

        try:
            settings = PeftConfig.from_pretrained(str(self._adapter.folder))
            settings.base_model_name_or_path = base.name_or_path  # else it warns of another
            tuned = get_peft_model(base, settings)
            result: Any = set_peft_model_state_dict(tuned, dict(self._weights))
            own = (tuned.base_model.prefix, ".modules_to_save.")  # in the names of an adapter's weights
            missing = [name for name in result.missing_keys if any(part in name for part in own)]
            left_out: list[str] = [*result.unexpected_keys, *missing]
            merged = tuned.merge_and_unload(safe_merge=True)
        except Exception as error:  # of PEFT's own making, in many classes
            raise self._unfit(str(error).splitlines()[0]) from error
        if left_out:
            raise self._unfit(f"{len(left_out)} weights have no counterpart, such as {left_out[0]}")
        return merged

    def _unfit(self, reason: str) -> LoadError:
        return LoadError(f"{self._model}: the adapter ({self._adapter.kind}) does not fit its base ({reason})")
