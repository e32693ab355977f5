"""What Hugging Face's clients ask for below a model's URL, for the OpenAPI document."""

from dataclasses import replace
from functools import partial
from typing import Any

from serve.apis.embeddings_inference.requests import VECTORS
from serve.apis.embeddings_inference.vectors import SimilarityRequest
from serve.apis.huggingface import picture_questions, rewriting, zero_shot
from serve.apis.huggingface.completions import HuggingFaceCompletionRequest
from serve.apis.huggingface.paths import HEALTH, INFO, PIPELINE
from serve.apis.huggingface.picture_questions import QuestionRequest
from serve.apis.huggingface.rewriting import RewritingRequest
from serve.apis.huggingface.zero_shot import ZeroShotRequest
from serve.apis.openai import routes as openai
from serve.apis.operation import Operation
from serve.http.errors import ErrorAnswer

MODEL = "/models/{model}"

_view = partial(Operation, response=list[Any], error=ErrorAnswer)
_SUMMARIZATION = _view(
    path=f"{PIPELINE}summarization", summary="A shorter text.", request=RewritingRequest, tasks=rewriting.TASKS
)
_BELOW = (
    openai.CHAT,
    replace(openai.COMPLETIONS, request=HuggingFaceCompletionRequest),
    _view(
        path=f"{PIPELINE}zero-shot-classification",
        summary="Which of the caller's labels fits a text.",
        request=ZeroShotRequest,
        tasks=zero_shot.TASKS,
    ),
    _view(
        path=f"{PIPELINE}sentence-similarity",
        summary="How near each sentence is to the first one.",
        request=SimilarityRequest,
        response=list[float],
        tasks=VECTORS,
    ),
    _view(
        path=f"{PIPELINE}visual-question-answering",
        summary="The answer to a question about a picture.",
        request=QuestionRequest,
        tasks=picture_questions.TASKS,
    ),
    _SUMMARIZATION,
    replace(_SUMMARIZATION, path=f"{PIPELINE}translation", summary="The text in another language."),
    Operation(path=INFO, summary="What the model is.", error=ErrorAnswer),
    Operation(path=HEALTH, summary="200 while the model answers.", error=ErrorAnswer),
)
OPERATIONS = tuple(replace(each, path=MODEL + each.path) for each in _BELOW)
