"""Pictures and text to prompts: in front of or beside the text (`DecoderPrompts`), or standing in it (`MarkedPrompts`).

Which of them a model takes is read from its processor: one that knows a token for a picture puts it into the text.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

from deployments.errors import InvalidInput, LoadError
from deployments.generation.adapters import decoder_start
from deployments.generation.sequence import Prompt
from deployments.image.chat import SeenMessage
from deployments.image.processor import PictureProcessor
from deployments.text.task import require_text

if TYPE_CHECKING:
    import torch
    from PIL import Image


class PicturePrompts(ABC):
    """Makes a model's prompts.

    Args:
        model: what writes.
        processor: of its checkpoint.
    """

    def __init__(self, model: Any, processor: PictureProcessor) -> None:
        self.model = model
        self.processor = processor
        self._device = next(model.parameters()).device
        self._dtype = next(p.dtype for p in model.parameters() if p.dtype.is_floating_point)
        self._accepted = frozenset(inspect.signature(model.forward).parameters) - {"labels"}  # those are for training

    @property
    @abstractmethod
    def reads_text(self) -> bool:
        """Whether the model was made to read a text with a picture, as far as can be seen."""

    @abstractmethod
    def of_picture(self, picture: "Image.Image", text: str | None) -> Prompt:
        """A picture, alone or with a text.

        Raises:
            InvalidInput: a text that the model cannot read.
        """

    @abstractmethod
    def of_chat(self, chat: Sequence[SeenMessage]) -> Prompt:
        """A chat with pictures.

        Raises:
            InvalidInput: the model does not chat, or not so.
        """

    def features(self, features: Mapping[str, Any]) -> "dict[str, torch.Tensor]":
        """What the model's forward takes of what a processor gives, in the model's own precision."""
        import torch

        tensors = {name: torch.as_tensor(value) for name, value in features.items() if name in self._accepted}
        return {
            name: tensor.to(self._dtype) if tensor.is_floating_point() else tensor for name, tensor in tensors.items()
        }


class DecoderPrompts(PicturePrompts):
    """The picture goes to an encoder, or in front of the text; the text is what the decoder has said already."""

    def __init__(self, model: Any, processor: PictureProcessor) -> None:
        super().__init__(model, processor)
        start = decoder_start(model)
        if start is None:
            raise LoadError("the checkpoint does not say what its decoder starts with")
        self._start = start
        self._special = frozenset(processor.tokenizer.all_special_ids)
        self._places: tuple[int, int] | None = None  # (values of a picture, token places that it took)

    @property
    def reads_text(self) -> bool:
        return not self.model.config.is_encoder_decoder

    def of_picture(self, picture: "Image.Image", text: str | None) -> Prompt:
        read = self.features(self.processor.image_processor(images=picture, return_tensors="pt"))
        inputs = {name: tensor[0] for name, tensor in read.items()}
        ids: tuple[int, ...] = ()
        if text is not None:
            require_text(text, "inputs.text")
            ids = tuple(self.processor.tokenizer(text, add_special_tokens=False)["input_ids"])
        # A text that begins with a special token says itself what the decoder starts with (Donut's task names).
        start = () if ids and ids[0] in self._special else self._start
        return Prompt((*start, *ids), inputs, source_slots=self._places_of(read))

    def of_chat(self, chat: Sequence[SeenMessage]) -> Prompt:
        raise InvalidInput("inputs is a chat, and this model reads a picture, alone or with a text; send one of those")

    def _places_of(self, read: "dict[str, torch.Tensor]") -> int:
        """Token places that a picture takes. The first one is tried out; of another size, it is estimated by area."""
        values = max(tensor.numel() for tensor in read.values())
        if self._places is None:
            self._places = values, self._tried(read)
        known, places = self._places
        return places if values == known else -(-places * values // known)

    def _tried(self, read: "dict[str, torch.Tensor]") -> int:
        import torch

        inputs = {name: tensor.to(self._device) for name, tensor in read.items()}
        with torch.inference_mode():
            if self.model.config.is_encoder_decoder:
                return int(self.model.get_encoder()(**inputs)[0].shape[1])
            ids = torch.tensor([self._start], device=self._device)
            cache = self.model(input_ids=ids, **inputs, use_cache=True).past_key_values
        return int(cache.get_seq_length()) - len(self._start)


class MarkedPrompts(PicturePrompts):
    """Pictures stand in the text, each as many times its token as it has places."""

    def __init__(self, model: Any, processor: PictureProcessor) -> None:
        super().__init__(model, processor)
        if model.config.is_encoder_decoder:
            raise LoadError("encoder-decoders with pictures in their encoder's text are not served")
        self._mark = str(processor.picture_mark)
        self._reading = Lock()  # a processor may set its tokenizer's padding, which is not thread-safe
        self._is_marked_for_us = self._puts_marks_itself()

    @property
    def reads_text(self) -> bool:
        return True

    def of_picture(self, picture: "Image.Image", text: str | None) -> Prompt:
        if text is not None:
            require_text(text, "inputs.text")
        if self.processor.chats:
            words = [] if text is None else [{"type": "text", "text": text}]
            return self.of_chat([{"role": "user", "content": [{"type": "image", "image": picture}, *words]}])
        text = text or ""
        marked = text if self._is_marked_for_us or self._mark in text else self._mark + text
        return self._read(lambda: self.processor.together(text=marked, images=[picture], return_tensors="pt"))

    def of_chat(self, chat: Sequence[SeenMessage]) -> Prompt:
        together = self.processor.together
        if not self.processor.chats:
            raise InvalidInput("inputs is a chat, and this model has no chat template; send a picture with a text")
        for text in _texts(chat):
            if self._mark in text:
                raise InvalidInput(f"inputs has {self._mark!r} in a text; pictures are parts of their own")
        goes_on = chat[-1]["role"] == "assistant"  # what the assistant began is gone on with
        options = {"add_generation_prompt": not goes_on, "continue_final_message": goes_on}
        return self._read(
            lambda: together.apply_chat_template(
                self._as_expected(chat, options), tokenize=True, return_dict=True, return_tensors="pt", **options
            )
        )

    def _as_expected(self, chat: Sequence[SeenMessage], options: Mapping[str, bool]) -> Sequence[SeenMessage]:
        """The chat, with texts as lists of parts where its template leaves out what is not in one."""
        if not any(isinstance(message["content"], str) for message in chat):
            return chat
        listed = [message | {"content": _parts(message)} for message in chat]
        for candidate in (chat, listed):
            try:
                said = self.processor.together.apply_chat_template(candidate, tokenize=False, **options)
            except Exception:  # a template may refuse in any way; what it says of the chat as it is will be told
                continue
            if all(text.strip() in said for text in _texts(chat)):
                return candidate
        return chat

    def _puts_marks_itself(self) -> bool:
        """Whether the processor puts a picture into a text that does not say where; others refuse it."""
        from PIL import Image

        picture, together = Image.new("RGB", (64, 64)), self.processor.together
        try:
            told, untold = (together(text=text, images=[picture])["input_ids"][0] for text in (self._mark + "a", "a"))
        except Exception:  # processors refuse in any way
            return False
        mark = self.processor.tokenizer.convert_tokens_to_ids(self._mark)
        return 0 < list(untold).count(mark) <= list(told).count(mark)

    def _read(self, process: Any) -> Prompt:
        try:
            with self._reading:
                read = dict(process())
        except Exception as error:  # templates and processors refuse in any way
            raise InvalidInput(f"inputs is nothing that the model's processor reads: {error}") from error
        ids = read.pop("input_ids")[0].tolist()
        read.pop("attention_mask", None)
        inputs = self.features(read)
        joined = frozenset(name for name, tensor in inputs.items() if tensor.shape[0] != 1)
        alone = {name: tensor if name in joined else tensor[0] for name, tensor in inputs.items()}
        return Prompt(ids, alone, joined=joined)


def picture_prompts(model: Any, processor: PictureProcessor) -> PicturePrompts:
    """What makes this model's prompts."""
    kind = DecoderPrompts if processor.picture_mark is None else MarkedPrompts
    return kind(model, processor)


def _parts(message: SeenMessage) -> list[dict[str, Any]]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _texts(chat: Sequence[SeenMessage]) -> list[str]:
    return [part["text"] for message in chat for part in _parts(message) if part["type"] == "text"]
