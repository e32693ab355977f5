"""The references: for each class of transformers, how it answers one input by itself.

Where transformers has a pipeline, it is the reference; else the model is called with one input, and its outputs are
turned into an answer without code that the service uses. For what sentence-transformers wrote, that is the reference.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deployments.contract.task import Task
from deployments.tasks.feature_extraction_late_interaction import LateInteractionFeatureExtraction
from deployments.tasks.feature_extraction_sparse import SparseFeatureExtraction
from deployments.tasks.text_classification_causal import CausalReranker
from deployments.text.two_towers import TwoTowers
from serve.cli.parity import media, sentence_transformers, texts, writing
from serve.cli.parity.calls import GREEDY, NEW_TOKENS, Answer
from serve.cli.parity.examples import Case, picture_cases, recording_cases, text_cases
from serve.cli.parity.source import NoReference, Source

Cases = Callable[[Source, Sequence[str] | None], list[Case]]

QUESTION = "Who is it about?"  # for a line that is a text alone
CHOICES = ("It ends well.", "Nobody knows how it ends, and nobody asks.")


def _texts(source: Source, lines: Sequence[str] | None) -> list[Case]:
    return text_cases(lines)


def _masked_texts(source: Source, lines: Sequence[str] | None) -> list[Case]:
    """Texts with a mask; in the place of the third word where they have none."""
    mask = source.processor("AutoTokenizer").mask_token

    def build(text: str) -> str:
        words = text.split()
        return text if mask in text else " ".join([*words[:2], mask, *words[3:]])

    return text_cases(lines, build)


def _questions(source: Source, lines: Sequence[str] | None) -> list[Case]:
    return text_cases(lines, lambda text: {"question": QUESTION, "context": text})


def _pairs(source: Source, lines: Sequence[str] | None) -> list[Case]:
    return text_cases(lines, lambda text: {"text": QUESTION, "text_pair": text})


def _choices(source: Source, lines: Sequence[str] | None) -> list[Case]:
    return text_cases(lines, lambda text: {"prompt": text, "choices": list(CHOICES)})


def _pictures(source: Source, paths: Sequence[str] | None) -> list[Case]:
    return picture_cases(paths)


def _recordings(source: Source, paths: Sequence[str] | None) -> list[Case]:
    return recording_cases(paths, source.processor("AutoFeatureExtractor").sampling_rate)


def _with_texts(medium: str, files: Cases) -> Cases:
    """Texts and files of a model with two towers; a line is a file if there is one of that name."""

    def cases(source: Source, lines: Sequence[str] | None) -> list[Case]:
        paths = None if lines is None else [line for line in lines if Path(line).is_file()]
        texts = None if lines is None or paths is None else [line for line in lines if line not in paths]
        own = [Case(case.name, {medium: case.inputs}) for case in files(source, paths)]
        return [*text_cases(texts, lambda text: {"text": text}), *own]

    return cases


@dataclass(frozen=True, slots=True)
class Reference:
    """How a class of models is asked, and what transformers answers.

    Attributes:
        load: loads the checkpoint, and returns a function from a request's `inputs` to the answer.
        cases: the inputs, from the lines of the user's file or None.
        fields: of every request, beside `inputs`.
        wraps: the service's answer to a single input is a list with one entry; None: if the model pools.
    """

    load: Callable[[Source], Answer]
    cases: Cases
    fields: Mapping[str, Any] = field(default_factory=dict)
    wraps: bool | None = False


_WRITING = {"parameters": GREEDY}
REFERENCES: Mapping[tuple[str, str], Reference] = {
    ("AutoModel", "text"): Reference(texts.text_vectors, _texts, wraps=None),
    ("AutoModel", "image"): Reference(media.image_vectors, _pictures, wraps=None),
    ("AutoModel", "audio"): Reference(media.audio_vectors, _recordings, wraps=None),
    ("AutoModel", "image and text"): Reference(
        media.tower_vectors(media.pixels, "AutoImageProcessor", "image"), _with_texts("image", _pictures), wraps=True
    ),
    ("AutoModel", "audio and text"): Reference(
        media.tower_vectors(media.spectrum, "AutoFeatureExtractor", "audio"),
        _with_texts("audio", _recordings),
        wraps=True,
    ),
    ("AutoModelForSequenceClassification", "text"): Reference(texts.text_labels, _texts, wraps=True),
    ("AutoModelForTokenClassification", "text"): Reference(texts.entities, _texts),
    ("AutoModelForQuestionAnswering", "text"): Reference(
        texts.spans, _questions, {"parameters": {"align_to_words": False, "max_answer_len": texts.MAX_ANSWER}}
    ),
    ("AutoModelForMaskedLM", "text"): Reference(texts.fillings, _masked_texts),
    ("AutoModelForMultipleChoice", "text"): Reference(texts.best_choices, _choices),
    ("AutoModelForImageClassification", "image"): Reference(media.image_labels, _pictures),
    ("AutoModelForAudioClassification", "audio"): Reference(media.audio_labels, _recordings),
    ("AutoModelForCTC", "audio"): Reference(writing.letters, _recordings),
    ("AutoModelForSpeechSeq2Seq", "audio"): Reference(
        # The pipeline also reads recordings in which nobody speaks.
        writing.speech,
        _recordings,
        {"parameters": {"max_new_tokens": NEW_TOKENS, "long_form": "overlap"}},
    ),
    ("AutoModelForCausalLM", "text"): Reference(writing.continuations, _texts, _WRITING),
    ("AutoModelForSeq2SeqLM", "text"): Reference(writing.rewritings, _texts, _WRITING),
    ("AutoModelForImageTextToText", "image"): Reference(writing.captions, _pictures, _WRITING),
}
"""By the class of transformers that a task declares, and its medium."""

FORMS: Mapping[type[Task[Any, Any]], Reference] = {
    SparseFeatureExtraction: Reference(sentence_transformers.sparse_vectors, _texts, wraps=True),
    LateInteractionFeatureExtraction: Reference(sentence_transformers.token_vectors, _texts, wraps=True),
    CausalReranker: Reference(sentence_transformers.pair_scores, _pairs, wraps=True),
}
"""Of forms of a task that transformers does not have."""


def reference_of(kind: type[Task[Any, Any]]) -> Reference:
    """The reference for a task.

    Raises:
        NoReference: there is none.
    """
    if kind in FORMS:
        return FORMS[kind]
    medium = f"{kind.medium} and text" if issubclass(kind, TwoTowers) else kind.medium
    if (kind.auto_model, medium) not in REFERENCES:
        raise NoReference(f"no reference for {kind.auto_model} with {medium}")
    return REFERENCES[kind.auto_model, medium]
