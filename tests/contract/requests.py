"""What the contract tests ask every text task: its own sized examples with their words shuffled and others mixed in."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from deployments.contract.task import Task
from deployments.registry import TASKS
from deployments.text.task import TextTask

TEXT_TASKS = [task for task in TASKS.values() if issubclass(task, TextTask)]

OTHER_WORDS = ("Paris", "doesn't", "$3.75", "🙂", "👩‍🚀", "שלום", "مرحبا", "brûlée", "我喜欢", "Привет,", "Wolfgang")


def requests_of(task: Task[Any, Any], words: Sequence[int], seed: int = 0) -> list[Any]:
    """One request a number of words; equal seeds give equal requests."""
    random = Random(seed)
    return [mixed(task.sized_example(count), random) for count in words]


def mixed(request: Any, random: Random) -> Any:
    """The request with the words of each of its texts in another order, and about a fifth of them replaced."""

    def mix(text: str) -> str:
        words = text.split()
        front, rest = words[:12], words[12:]  # what stands in front stays there: no limit cuts a mask off
        random.shuffle(front)
        random.shuffle(rest)
        return " ".join(
            random.choice(OTHER_WORDS) if word[0] not in "[<" and random.random() < 0.2 else word
            for word in front + rest
        )

    return with_texts(request, mix)


def with_texts(request: Any, change: Callable[[str], str]) -> Any:
    """The request with each text of its inputs changed."""

    def walk(value: Any) -> Any:
        if isinstance(value, str):
            return change(value)
        if isinstance(value, list):
            return [walk(item) for item in value]
        return {key: walk(item) for key, item in value.items()} if isinstance(value, dict) else value

    body = request.model_dump(exclude_unset=True)
    return type(request).model_validate({**body, "inputs": walk(body["inputs"])})


def assert_equal(one: Any, other: Any, tolerance: float = 1e-4) -> None:
    """Answers (as JSON gives them) are the same: numbers within a tolerance, texts and offsets exactly."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_equal(one[key], other[key], tolerance)
    elif isinstance(one, list):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            assert_equal(left, right, tolerance)
    elif isinstance(one, float):
        assert isinstance(other, float)
        assert abs(one - other) <= tolerance * max(1.0, abs(other))
    else:
        assert type(one) is type(other)
        assert one == other
