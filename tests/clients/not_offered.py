"""What clients cannot ask for, and why. What they can, the tests' marks say; `matrix.py` makes the page from both.

For each client: a reason, and the tasks that it holds for.
"""

from collections.abc import Mapping

NOT_OFFERED: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "huggingface_hub": {
        "the client has no such call; `POST` the task's own request": ("multiple-choice", "text2text-generation"),
    },
    "openai": {
        "not shown yet": ("image-to-text", "speech-recognition-seq2seq"),
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
