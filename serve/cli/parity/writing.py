"""References of models that write: greedy, by transformers' pipelines where there are, else by `generate`."""

from collections.abc import Mapping
from typing import Any

from serve.cli.parity.calls import GREEDY, NEW_TOKENS, Answer, generate
from serve.cli.parity.source import NoReference, Source, picture, samples

WINDOW_S = 30.0  # a longer recording is read in parts


def letters(source: Source) -> Answer:
    """By `AutomaticSpeechRecognitionPipeline`: the text of greedy CTC decoding."""
    return _transcripts(source, source.pipeline("automatic-speech-recognition"))


def speech(source: Source) -> Answer:
    """The text of a recording: by the pipeline for models that the pipeline has rules for, else by `generate`."""
    model = source.model("AutoModelForSpeechSeq2Seq")
    if model.config.model_type == "whisper":
        recognize = source.pipeline("automatic-speech-recognition")
        return _transcripts(source, recognize, generate_kwargs={**GREEDY, "num_beams": 1})
    extractor, tokenizer = source.processor("AutoFeatureExtractor"), source.processor("AutoTokenizer")
    rate = extractor.sampling_rate

    def answer(inputs: str) -> Any:
        heard = extractor(samples(inputs, rate), sampling_rate=rate, return_tensors="pt", return_attention_mask=True)
        return {"text": tokenizer.decode(generate(model, heard), skip_special_tokens=True)}

    return answer


def _transcripts(source: Source, recognize: Any, **options: Any) -> Answer:
    rate = recognize.feature_extractor.sampling_rate

    def answer(inputs: str) -> Any:
        sound = samples(inputs, rate)
        if len(sound) > WINDOW_S * rate:
            raise NoReference("the recording is read in parts")
        return recognize(sound, **options)

    return answer


def continuations(source: Source) -> Answer:
    """By `TextGenerationPipeline`, greedy, of prompts that leave room for it."""
    write = source.pipeline("text-generation")
    positions = getattr(write.model.config, "max_position_embeddings", None)

    def answer(text: str) -> Any:
        if positions and len(write.tokenizer(text)["input_ids"]) + NEW_TOKENS > positions:
            raise NoReference("the prompt leaves no room in the model's positions")
        return write(text, return_full_text=False, num_beams=1, **GREEDY)

    return answer


def rewritings(source: Source) -> Answer:
    """The text of greedy `generate` for another text."""
    tokenizer, model = source.processor("AutoTokenizer"), source.model("AutoModelForSeq2SeqLM")
    names = ("input_ids", "attention_mask")

    def answer(text: str) -> Any:
        encoding = tokenizer(text, return_tensors="pt", **source.cut)
        ids = generate(model, {name: encoding[name] for name in names if name in encoding})
        return [{"generated_text": tokenizer.decode(ids, skip_special_tokens=True)}]

    return answer


def captions(source: Source) -> Answer:
    """The text of greedy `generate` for an image without a text, in the form that the checkpoint's processor wants."""
    images, both = source.processor("AutoImageProcessor"), source.processor("AutoProcessor")
    model = source.model("AutoModelForImageTextToText")
    tokenizer = getattr(both, "tokenizer", None) or source.processor("AutoTokenizer")
    if hasattr(both, "image_processor"):
        both.image_processor = images

    def features(image: Any) -> Mapping[str, Any]:
        if getattr(both, "chat_template", None):
            chat = [{"role": "user", "content": [{"type": "image", "image": image}]}]
            options = {"add_generation_prompt": True, "tokenize": True, "return_dict": True, "return_tensors": "pt"}
            rendered: Mapping[str, Any] = both.apply_chat_template(chat, **options)
            return rendered
        if getattr(both, "image_token", None) is not None:
            # BLIP-2's processor puts the image's tokens in front of any text by itself.
            text = "" if hasattr(both, "num_query_tokens") else str(both.image_token)
            inline: Mapping[str, Any] = both(images=image, text=text, return_tensors="pt")
            return inline
        alone: Mapping[str, Any] = images(images=image, return_tensors="pt")
        return alone

    def answer(inputs: str) -> Any:
        read = features(picture(inputs))
        ids, prompt = generate(model, read), read.get("input_ids")
        if prompt is not None and ids[: prompt.shape[1]] == prompt[0].tolist():
            ids = ids[prompt.shape[1] :]
        return [{"generated_text": tokenizer.decode(ids, skip_special_tokens=True)}]

    return answer
