"""References of models that read images or recordings, by transformers' pipelines where there are."""

from collections.abc import Callable, Mapping
from typing import Any

from serve.cli.parity.calls import Answer, last_state, placed
from serve.cli.parity.source import NoReference, Source, picture, samples
from serve.cli.parity.vectors import pooled

LABELS = 5  # of an image or a recording


def image_vectors(source: Source) -> Answer:
    """The last hidden state of an image: `[patches, dim]`, or `[dim, rows, columns]`."""
    processor, model = source.processor("AutoImageProcessor"), source.model("AutoModel")
    return lambda inputs: pooled(
        last_state(model, processor(images=picture(inputs), return_tensors="pt")), _pooling(source)
    )


def audio_vectors(source: Source) -> Answer:
    """The last hidden state of a recording, `[frames, dim]`; of an encoder-decoder model, its encoder's."""
    extractor, model = source.processor("AutoFeatureExtractor"), source.model("AutoModel")
    encoder, rate = model.get_encoder() if model.config.is_encoder_decoder else model, extractor.sampling_rate

    def answer(inputs: str) -> Any:
        features = extractor(samples(inputs, rate), sampling_rate=rate, return_tensors="pt")
        return pooled(last_state(encoder, features), _pooling(source))

    return answer


def _pooling(source: Source) -> Mapping[str, Any] | None:
    """The configured pooling of a model of images or recordings, which has no other."""
    return None if source.config.pooling is None else source.config.pooling.model_dump()


def image_labels(source: Source) -> Answer:
    """By `ImageClassificationPipeline`: the five best labels."""
    classify = source.pipeline("image-classification", image_processor=source.processor("AutoImageProcessor"))
    return lambda inputs: classify(picture(inputs), top_k=LABELS)


def audio_labels(source: Source) -> Answer:
    """By `AudioClassificationPipeline`: the five best labels."""
    classify = source.pipeline("audio-classification")
    return lambda inputs: classify(samples(inputs, classify.feature_extractor.sampling_rate), top_k=LABELS)


def tower_vectors(
    media: Callable[[Any, str], Mapping[str, Any]], processor: str, medium: str
) -> Callable[[Source], Answer]:
    """The load of a model with two towers: its own vectors of a text or a file, `[dim]`.

    Args:
        media: the features of a file, by the checkpoint's processor.
        processor: the class of transformers that loads that.
        medium: "image" or "audio".
    """

    def load(source: Source) -> Answer:
        import torch

        model, tokenizer, extractor = (
            source.model("AutoModel"),
            source.processor("AutoTokenizer"),
            source.processor(processor),
        )
        # SigLIP was trained on texts padded to the end.
        padding = {"padding": "max_length"} if "siglip" in model.config.model_type else {}
        normalize = source.config.pooling is not None and source.config.pooling.normalize

        def answer(item: Mapping[str, str]) -> Any:
            is_text = "text" in item
            tower = model.get_text_features if is_text else getattr(model, f"get_{medium}_features")
            features = (
                tokenizer(item["text"], return_tensors="pt", **source.cut, **padding)
                if is_text
                else media(extractor, item[medium])
            )
            with torch.inference_mode():
                vector = tower(**placed(model, features)).pooler_output[0].float().cpu().numpy()
            return pooled(vector[None], {"mode": "mean", "normalize": normalize})

        return answer

    return load


def pixels(processor: Any, inputs: str) -> Any:
    """What an image processor makes of an image."""
    return processor(images=picture(inputs), return_tensors="pt")


def spectrum(extractor: Any, inputs: str) -> Any:
    """What a feature extractor makes of a recording.

    Raises:
        NoReference: it would make something else each time.
    """
    sound = samples(inputs, extractor.sampling_rate)
    if len(sound) > getattr(extractor, "nb_max_samples", len(sound)):
        raise NoReference("the extractor takes parts at random of a recording of that length")
    return extractor(sound, sampling_rate=extractor.sampling_rate, return_tensors="pt")
