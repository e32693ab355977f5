"""What clients cannot ask for, and why. What they can, the tests' marks say; `matrix.py` makes the page from both.

For each client: a reason, and the tasks that it holds for.
"""

from collections.abc import Mapping

from deployments.registry import TASKS

_OTHER_THAN_VECTORS = tuple(task for task in TASKS if task != "feature-extraction")

_CLASSES = (
    "text-classification",
    "token-classification",
    "question-answering",
    "fill-mask",
    "multiple-choice",
    "image-classification",
    "audio-classification",
)
_SPEECH = ("speech-recognition-ctc", "speech-recognition-seq2seq")

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
    "langchain-huggingface": {
        "LangChain's classes for Hugging Face have no such call; `POST` the task's own request": tuple(
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
        "OpenAI's API has no such call; `POST` the task's own request": _CLASSES,
    },
    "LiteLLM": {
        "LiteLLM has no such call; `POST` the task's own request": _CLASSES,
    },
    "LlamaIndex": {
        "its classes for OpenAI's API and TEI have no such call; `POST` the task's own request": (*_CLASSES, *_SPEECH),
    },
    "Haystack": {
        "its classes for OpenAI's API have no such call; `POST` the task's own request": (*_CLASSES, *_SPEECH),
        "its class for completions is for chats alone": ("text2text-generation",),
    },
    "Vercel's ai": {
        "its provider has no such call; `POST` the task's own request": (*_CLASSES, *_SPEECH),
    },
}
