"""`/v1/completions` below a model's URL, which Hugging Face's JavaScript client uses for text-generation."""

from typing import Any

from serve.apis.openai.completions import CompletionRequest, Completions


class HuggingFaceCompletionRequest(CompletionRequest):
    """OpenAI's request with additional options of Hugging Face's API."""

    do_sample: bool | None = None
    typical_p: float | None = None
    truncate: int | None = None
    return_full_text: bool | None = None

    def as_task(self) -> dict[str, Any]:
        body = super().as_task()
        names = ("do_sample", "typical_p", "truncate", "return_full_text")
        body["parameters"] |= {name: value for name in names if (value := getattr(self, name)) is not None}
        return body


class HuggingFaceCompletions(Completions):
    """Handles completion requests."""

    request = HuggingFaceCompletionRequest
