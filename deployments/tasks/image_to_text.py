"""image-to-text: captions of pictures and answers about them (`AutoModelForImageTextToText`)."""

import os
from collections.abc import Sequence
from typing import Any, Self

from pydantic import Field, model_validator

from deployments.checkpoint import Checkpoint
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
    MAX_PICTURES,
    Chat,
    Inputs,
    PictureWithText,
    SeenMessage,
    is_chat,
    pictures_of,
    seen,
)
from deployments.image.processor import PictureProcessor, load_picture_processor
from deployments.image.prompts import picture_prompts
from deployments.image.task import EXAMPLE, read_for_processor, sample_picture
from deployments.media.content import Media
from deployments.text.task import filler


class Parameters(GuidedParameters):
    return_full_text: bool = Field(default=False, description="The text or the chat, as the model read it, in front.")


class Request(GeneratingRequest):
    inputs: Inputs = Field(
        description="A picture (base64 or data URL); an object of `image` and `text`; a chat (messages with `role` and "
        "`content`, which may have pictures); or a list of them."
    )
    text: str | None = Field(default=None, description="The text for pictures that come without one.")
    parameters: Parameters = Parameters()

    @property
    def is_batch(self) -> bool:
        """A list of pictures, or of chats; a single chat is a list of messages."""
        return isinstance(self.inputs, list) and not is_chat(self.inputs)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        items: Any = self.inputs if self.is_batch else [self.inputs]
        chats: list[Chat] = [item for item in items if isinstance(item, list)]
        if self.text is not None and chats:
            raise ValueError("text: goes with pictures; a chat has its own")
        for chat in chats:
            if not chat:
                raise ValueError("a chat needs a message")
            if len(list(pictures_of(chat))) > MAX_PICTURES:
                raise ValueError(f"a chat may have at most {MAX_PICTURES} pictures")
        return self


class ImageToText(GeneratingTask[Request, list[GeneratedText]]):
    """What the model writes to a picture: its caption, or the answer to a question about it."""

    name = "image-to-text"
    purpose = "Write what is in a picture: captions, text that was read, answers to questions about it."
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
    unused_weights = ("encoder.pooler",)  # of picture encoders, whose states the decoder reads as they are

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint)
        self.defaults = generation_config_of(checkpoint.model)
        # A text that a decoder is given is gone on with, whether there is an encoder or not.
        self.is_continuation = True
        self._prompts = picture_prompts(self.model, checkpoint.processor)

    @classmethod
    def load_processor(cls, source: str, revision: str | None) -> PictureProcessor:
        return load_picture_processor(source, revision)

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
        picture, text = sample_picture(16 + words), None
        if self._prompts.reads_text:
            text = filler(min(words, (self.max_positions or 1024) // 8))  # there is the picture, too
        parameters = Parameters(max_new_tokens=4, do_sample=False)
        return Request(inputs=PictureWithText(image=picture, text=text), parameters=parameters)

    def _prompt(self, item: Any, text: str | None) -> Prompt:
        if isinstance(item, list):
            return self._prompts.of_chat(self._seen(item))
        if isinstance(item, Media):
            return self._prompts.of_picture(read_for_processor(item, self.limits), text)
        picture = read_for_processor(item.image, self.limits, what="inputs.image")
        return self._prompts.of_picture(picture, text if item.text is None else item.text)

    def _seen(self, chat: Chat) -> list[SeenMessage]:
        """A chat as templates know it, with its pictures decoded; all of them are in memory together."""
        pictures, pixels = {}, 0
        for what, media in pictures_of(chat):
            picture = read_for_processor(media, self.limits, what=what)
            pixels += picture.width * picture.height
            if pixels > self.limits.max_pixels:
                most = f"limits.max_pixels is {self.limits.max_pixels:,}"
                raise TooLarge(f"inputs is a chat with pictures of more than {pixels:,} pixels together; {most}")
            pictures[what] = picture
        return seen(chat, pictures)
