"""The registry of tasks: KINDS, TASKS and their other names."""

from collections.abc import Mapping, Sequence
from typing import Any

from deployments.checkpoints.files import read_adapter, read_config, read_medium
from deployments.config import ModelConfig
from deployments.contract.task import Task
from deployments.errors import LoadError, did_you_mean
from deployments.tasks.audio_classification import AudioClassification
from deployments.tasks.feature_extraction import FeatureExtraction
from deployments.tasks.feature_extraction_audio import AudioFeatureExtraction
from deployments.tasks.feature_extraction_audio_text import AudioTextFeatureExtraction
from deployments.tasks.feature_extraction_image import ImageFeatureExtraction
from deployments.tasks.feature_extraction_image_text import ImageTextFeatureExtraction
from deployments.tasks.feature_extraction_late_interaction import LateInteractionFeatureExtraction
from deployments.tasks.feature_extraction_sparse import SparseFeatureExtraction
from deployments.tasks.fill_mask import FillMask
from deployments.tasks.image_classification import ImageClassification
from deployments.tasks.image_to_text import ImageToText
from deployments.tasks.multiple_choice import MultipleChoice
from deployments.tasks.question_answering import QuestionAnswering
from deployments.tasks.speech_recognition_ctc import CTCSpeechRecognition
from deployments.tasks.speech_recognition_seq2seq import SpeechRecognition
from deployments.tasks.text2text_generation import Text2TextGeneration
from deployments.tasks.text_classification import TextClassification
from deployments.tasks.text_classification_causal import CausalReranker
from deployments.tasks.text_generation import TextGeneration
from deployments.tasks.token_classification import TokenClassification

KINDS: Sequence[type[Task[Any, Any]]] = (
    FeatureExtraction,
    ImageFeatureExtraction,
    AudioFeatureExtraction,
    ImageTextFeatureExtraction,
    AudioTextFeatureExtraction,
    TextClassification,
    TokenClassification,
    QuestionAnswering,
    FillMask,
    MultipleChoice,
    ImageClassification,
    AudioClassification,
    CTCSpeechRecognition,
    SpeechRecognition,
    TextGeneration,
    Text2TextGeneration,
    ImageToText,
)
"""Every task class. Among classes of the same name, the checkpoint's medium decides, then its architecture; the first
of a name and medium reads any."""

FORMS: Mapping[type[Task[Any, Any]], Sequence[type[Task[Any, Any]]]] = {
    FeatureExtraction: (SparseFeatureExtraction, LateInteractionFeatureExtraction),
    TextClassification: (CausalReranker,),
}
"""Other forms of a task: classes for checkpoints that do it in another way, and say so in their files (`claims`)."""

TASKS: Mapping[str, type[Task[Any, Any]]] = {
    name: next(kind for kind in KINDS if kind.name == name) for name in dict.fromkeys(kind.name for kind in KINDS)
}
"""The first class of each name."""

ALIASES: Mapping[str, tuple[str, ...]] = {
    alias: tuple(dict.fromkeys(kind.name for kind in KINDS if alias in kind.aliases))
    for alias in dict.fromkeys(alias for kind in KINDS for alias in kind.aliases)
}
"""Aliases of tasks. If an alias has several tasks, the first one that is served answers."""

AUTO_MODELS: Mapping[str, tuple[str, ...]] = {
    auto_model: tuple(dict.fromkeys(kind.name for kind in KINDS if auto_model in (kind.auto_model, *kind.auto_models)))
    for auto_model in dict.fromkeys(name for kind in KINDS for name in (kind.auto_model, *kind.auto_models))
}
"""Tasks by class of transformers, for configurations."""


def names(name: str) -> tuple[str, ...]:
    """The tasks with this name, alias or transformers class; empty if there is none."""
    return (name,) if name in TASKS else ALIASES.get(name) or AUTO_MODELS.get(name, ())


def find_task(name: str) -> type[Task[Any, Any]]:
    """The first task with this name or alias.

    Raises:
        LoadError: there is none; the message suggests the closest name.
    """
    if found := names(name):
        return TASKS[found[0]]
    hint = did_you_mean(name, [*TASKS, *ALIASES], listed=f"there are {', '.join(TASKS)}")
    raise LoadError(f"there is no task {name!r}; {hint}")


def _architectures(config: ModelConfig) -> Sequence[str]:
    """What the checkpoint's model is; for an adapter, what it was trained to be."""
    adapter = read_adapter(config.model, config.revision)
    if adapter is not None and adapter.architecture is not None:
        return [adapter.architecture]
    return read_config(config.model, config.revision).get("architectures") or []


def task_of(config: ModelConfig) -> type[Task[Any, Any]]:
    """The configured task, else the one that follows from the checkpoint's files, `architectures` and processor; in the
    form that the files claim.

    Raises:
        LoadError: the checkpoint names no architecture, or one of no task.
    """
    kind = _kind_of(config)
    return _form_of(kind, config) or kind


def _form_of(kind: type[Task[Any, Any]], config: ModelConfig) -> type[Task[Any, Any]] | None:
    try:
        return next((form for form in FORMS.get(kind, ()) if form.claims(config)), None)
    except LoadError:
        if config.task is None:
            raise
        return None  # a configured task needs no files on this machine


def _kind_of(config: ModelConfig) -> type[Task[Any, Any]]:
    kinds: Sequence[type[Task[Any, Any]]] = KINDS
    if config.task is not None:
        find_task(config.task)  # raises for an unknown name
        kinds = [kind for kind in KINDS if kind.name in names(config.task)]
        if len(kinds) == 1:
            return kinds[0]
    architectures = _architectures(config)
    medium = read_medium(config.model, config.revision)
    kinds = [kind for kind in kinds if kind.medium == medium]
    if config.task is not None and len(kinds) == 1:
        return kinds[0]
    if claiming := next((kind for kind in kinds if _form_of(kind, config) or kind.claims(config)), None):
        return claiming
    for architecture in architectures:
        matches = [kind for kind in kinds if architecture.endswith(kind.architectures)]
        if matches:  # the longest ending wins: `…ForCausalLM` before `…Model`
            return max(matches, key=lambda kind: max(len(e) for e in kind.architectures if architecture.endswith(e)))
    if config.task is not None and len({kind.name for kind in kinds}) == 1:
        return kinds[0]
    configured = f"configured: {config.task}; " if config.task else ""
    raise LoadError(
        f"{config.model}: config.json does not identify a task ({configured}input: {medium}; architectures: "
        f"{', '.join(architectures) or 'none'}); set `task` to one of {', '.join(TASKS)}"
    )
