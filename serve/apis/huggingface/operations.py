"""The operations below a model's URL that Hugging Face's clients use, for the OpenAPI document."""

from dataclasses import replace
from functools import partial
from typing import Any

from serve.apis.embeddings_inference.requests import VECTORS
from serve.apis.embeddings_inference.vectors import SimilarityRequest
from serve.apis.huggingface import text_to_text, visual_questions, zero_shot, zero_shot_media
from serve.apis.huggingface.completions import HuggingFaceCompletionRequest
from serve.apis.huggingface.paths import HEALTH, INFO, PIPELINE
from serve.apis.huggingface.text_to_text import TextToTextRequest
from serve.apis.huggingface.visual_questions import QuestionRequest
from serve.apis.huggingface.zero_shot import ZeroShotRequest
from serve.apis.huggingface.zero_shot_media import ZeroShotAudioRequest, ZeroShotImageRequest
from serve.apis.openai import routes as openai
from serve.apis.operation import Operation
from serve.http.errors import ErrorAnswer

MODEL = "/models/{model}"

_view = partial(Operation, response=list[Any], error=ErrorAnswer)
_SUMMARIZATION = _view(
    path=f"{PIPELINE}summarization", summary="A summary of a text.", request=TextToTextRequest, tasks=text_to_text.TASKS
)
_BELOW = (
    openai.CHAT,
    replace(openai.COMPLETIONS, request=HuggingFaceCompletionRequest),
    _view(
        path=f"{PIPELINE}zero-shot-classification",
        summary="The scores of the caller's labels for a text.",
        request=ZeroShotRequest,
        tasks=zero_shot.TASKS,
    ),
    _view(
        path=f"{PIPELINE}zero-shot-image-classification",
        view="zero-shot-image-classification",
        summary="The scores of the caller's labels for an image.",
        request=ZeroShotImageRequest,
        tasks=zero_shot_media.TASKS,
    ),
    _view(
        path=f"{PIPELINE}zero-shot-audio-classification",
        view="zero-shot-audio-classification",
        summary="The scores of the caller's labels for a recording.",
        request=ZeroShotAudioRequest,
        tasks=zero_shot_media.TASKS,
    ),
    _view(
        path=f"{PIPELINE}sentence-similarity",
        summary="The similarity of each sentence to the source sentence.",
        request=SimilarityRequest,
        response=list[float],
        tasks=VECTORS,
    ),
    _view(
        path=f"{PIPELINE}visual-question-answering",
        summary="The answer to a question about an image.",
        request=QuestionRequest,
        tasks=visual_questions.TASKS,
    ),
    _SUMMARIZATION,
    replace(_SUMMARIZATION, path=f"{PIPELINE}translation", summary="A translation of a text."),
    Operation(path=INFO, summary="The model's properties.", error=ErrorAnswer),
    Operation(path=HEALTH, summary="200 while the model answers.", error=ErrorAnswer),
)
OPERATIONS = tuple(replace(each, path=MODEL + each.path) for each in _BELOW)
