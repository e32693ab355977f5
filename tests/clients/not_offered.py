"""What clients cannot ask for, and why. What they can, the tests' marks say; `matrix.py` makes the page from both.

For each client: a reason, and the tasks that it holds for.
"""

from collections.abc import Mapping

from deployments.registry import TASKS

_OTHER_THAN_VECTORS = tuple(task for task in TASKS if task != "feature-extraction")

NOT_OFFERED: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "TEI": {
        "TEI serves embedding and classification models; `POST` the task's own request": tuple(
            task for task in _OTHER_THAN_VECTORS if task != "text-classification"
        ),
    },
    "cohere": {"its rerank uses text-classification models; its other calls are Cohere's own": tuple(TASKS)},
    "Jina's rerank": {"rerank uses text-classification models": tuple(TASKS)},
    "langchain-openai": {
        "LangChain's classes for OpenAI's API have no such call; `POST` the task's own request": tuple(
            task for task in _OTHER_THAN_VECTORS if task != "text-generation"
        ),
    },
    "huggingface_hub": {
        "the client has no such call; `POST` the task's own request": ("multiple-choice",),
    },
    "@huggingface/inference": {
        "the client has no such call; `POST` the task's own request": ("multiple-choice",),
    },
    "openai": {
        "OpenAI's API has no such call; `POST` the task's own request": (
            "text-classification",
            "token-classification",
            "question-answering",
            "fill-mask",
            "multiple-choice",
            "image-classification",
            "audio-classification",
        ),
    },
}
