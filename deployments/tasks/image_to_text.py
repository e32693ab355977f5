"""image-to-text: captions of images and answers to questions about them (`AutoModelForImageTextToText`)."""

import os
from collections.abc import Sequence
from typing import Any, Self

from pydantic import Field, model_validator

from deployments.checkpoints.load import Checkpoint
from deployments.contract.task import Prepared
from deployments.errors import TooLarge
from deployments.generation.adapters import as_encoder_decoder, generation_config_of
from deployments.generation.grammar import GuidedParameters
from deployments.generation.parameters import GeneratingRequest
from deployments.generation.request import Completion
from deployments.generation.sequence import Prompt
from deployments.generation.task import GeneratingTask
from deployments.generation.tgi import GeneratedText
from deployments.image.chat import (
    MAX_IMAGES,
    Chat,
    ImageWithText,
    Inputs,
    TemplateMessage,
    images_of,
    is_chat,
    template_messages,
)
from deployments.image.processor import ImageTextProcessor, load_image_text_processor
from deployments.image.prompts import image_prompts
from deployments.image.task import EXAMPLE, read_for_processor, sample_image
from deployments.media.content import Media
from deployments.text.task import filler


class Parameters(GuidedParameters):
    return_full_text: bool = Field(
        default=False,
        description="Return the prompt, decoded from its tokens, before the generated text.",
    )


class Request(GeneratingRequest):
    inputs: Inputs = Field(
        description="An image (base64 or data URL); an object with `image` and `text`; a chat (messages with `role` "
        "and `content`, which may contain images); or a list of them."
    )
    text: str | None = Field(default=None, description="The text for images without their own text.")
    parameters: Parameters = Parameters()

    @property
    def is_batch(self) -> bool:
        """Whether inputs is a list of images or chats; a list of messages is one chat."""
        return isinstance(self.inputs, list) and not is_chat(self.inputs)

    @model_validator(mode="after")
    def _check_chats(self) -> Self:
        items: Any = self.inputs if self.is_batch else [self.inputs]
        chats: list[Chat] = [item for item in items if isinstance(item, list)]
        if self.text is not None and chats:
            raise ValueError("text: only for images; a chat contains its own text")
        for chat in chats:
            if not chat:
                raise ValueError("a chat needs at least one message")
            if len(list(images_of(chat))) > MAX_IMAGES:
                raise ValueError(f"a chat may have at most {MAX_IMAGES} images")
        return self


class ImageToText(GeneratingTask[Request, list[GeneratedText]]):
    """The text that the model generates for an image: a caption, or the answer to a question about it."""

    name = "image-to-text"
    purpose = "Describe images: captions, recognized text, answers to questions about an image."
    aliases = ("image-text-to-text", "visual-question-answering")
    auto_model = "AutoModelForImageTextToText"
    operation = "generate_content"
    auto_models = ("AutoModelForVision2Seq",)
    auto_processor = "AutoProcessor"
    medium = "image"
    architectures = ("ForConditionalGeneration", "ForCausalLM", "VisionEncoderDecoderModel", "ForVisionText2Text")
    request = Request
    response = list[GeneratedText] | list[list[GeneratedText]]
    example = {"inputs": EXAMPLE, "parameters": {"max_new_tokens": 8}}
    preprocess_threads = min(4, os.cpu_count() or 1)
    unused_weights = ("encoder.pooler",)  # of image encoders; the decoder reads their hidden states

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint)
        self.defaults = generation_config_of(checkpoint.model)
        # The decoder continues a given text, with or without an encoder.
        self.is_continuation = True
        self._prompts = image_prompts(self.model, checkpoint.processor)

    @classmethod
    def load_processor(cls, source: str, revision: str | None) -> ImageTextProcessor:
        return load_image_text_processor(source, revision)

    def called_model(self, model: Any) -> Any:
        return as_encoder_decoder(model, getattr(model.config.get_text_config(decoder=True), "bos_token_id", None))

    def preprocess(self, request: Request) -> Prepared:
        prompt = self._prompt(request.inputs, request.text)
        most = self.max_positions
        requests = request.parameters.requests(prompt, self.defaults, with_logprobs=request.stream, max_positions=most)
        return Prepared(self.grammars.guided(requests, request.parameters))

    def postprocess(self, request: Request, prepared: Prepared, outputs: Sequence[Completion]) -> Any:
        before = ""
        if request.parameters.return_full_text:
            before = self.tokenizer.decode(prepared.rows[0].prompt.ids, skip_special_tokens=True)
        return self.generated(prepared.rows, outputs, request.parameters, before)

    def sized_example(self, words: int) -> Request:
        image, text = sample_image(16 + words), None
        if self._prompts.reads_text:
            text = filler(min(words, (self.max_positions or 1024) // 8))  # leaves room for the image
        parameters = Parameters(max_new_tokens=4, do_sample=False)
        return Request(inputs=ImageWithText(image=image, text=text), parameters=parameters)

    def _prompt(self, item: Any, text: str | None) -> Prompt:
        if isinstance(item, list):
            return self._prompts.for_chat(self._template_messages(item))
        if isinstance(item, Media):
            return self._prompts.for_image(read_for_processor(item, self.limits), text)
        image = read_for_processor(item.image, self.limits, field="inputs.image")
        return self._prompts.for_image(image, text if item.text is None else item.text)

    def _template_messages(self, chat: Chat) -> list[TemplateMessage]:
        """The chat in the format of chat templates, with decoded images, which are all in memory at once."""
        images, pixels = {}, 0
        for field, media in images_of(chat):
            image = read_for_processor(media, self.limits, field=field)
            pixels += image.width * image.height
            if pixels > self.limits.max_pixels:
                limit = f"limits.max_pixels is {self.limits.max_pixels:,}"
                raise TooLarge(f"the images of the chat have more than {pixels:,} pixels in all; {limit}")
            images[field] = image
        return template_messages(chat, images)
