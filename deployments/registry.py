"""TASKS: the one place where a task is named."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from deployments.checkpoint import read_config
from deployments.config import ModelConfig
from deployments.errors import LoadError
from deployments.task import Task
from deployments.tasks.feature_extraction import FeatureExtraction
from deployments.tasks.fill_mask import FillMask
from deployments.tasks.multiple_choice import MultipleChoice
from deployments.tasks.question_answering import QuestionAnswering
from deployments.tasks.text_classification import TextClassification
from deployments.tasks.token_classification import TokenClassification

_CLASSES: Sequence[type[Task[Any, Any]]] = (
    FeatureExtraction,
    TextClassification,
    TokenClassification,
    QuestionAnswering,
    FillMask,
    MultipleChoice,
)
TASKS: Mapping[str, type[Task[Any, Any]]] = {task.name: task for task in _CLASSES}
ALIASES: Mapping[str, str] = {alias: task.name for task in _CLASSES for alias in task.aliases}


def find_task(name: str) -> type[Task[Any, Any]]:
    """The task of this name or alias.

    Raises:
        LoadError: there is none; the message names the nearest.
    """
    task = TASKS.get(ALIASES.get(name, name))
    if task is None:
        near = difflib.get_close_matches(name, [*TASKS, *ALIASES], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(TASKS)}"
        raise LoadError(f"no task {name!r}{hint}")
    return task


def task_of(config: ModelConfig) -> type[Task[Any, Any]]:
    """The configured task, else the one that the checkpoint's `architectures` entry means.

    Raises:
        LoadError: the checkpoint says nothing, or names an architecture that is none of the tasks.
    """
    if config.task is not None:
        return find_task(config.task)
    named = read_config(config.model, config.revision).get("architectures") or []
    for architecture in named:
        matches = [task for task in _CLASSES if architecture.endswith(task.architectures)]
        if matches:  # the longest ending wins: `…ForCausalLM` before `…Model`
            return max(matches, key=lambda task: max(len(e) for e in task.architectures if architecture.endswith(e)))
    raise LoadError(
        f"{config.model}: config.json does not say which task this is (architectures: {named or 'none'}); "
        f"name one with `task`, of {', '.join(TASKS)}"
    )
