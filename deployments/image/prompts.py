"""Images and text to prompts: image beside the text (`SeparateImagePrompts`) or within it (`InlineImagePrompts`).

The processor decides which one a model takes: a processor with an image token puts images into the text.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

from deployments.errors import InvalidInput, LoadError
from deployments.generation.adapters import decoder_start
from deployments.generation.sequence import Prompt
from deployments.image.chat import TemplateMessage
from deployments.image.processor import ImageTextProcessor
from deployments.text.task import require_text

if TYPE_CHECKING:
    import torch
    from PIL import Image


class ImagePrompts(ABC):
    """Builds the prompts of a model.

    Args:
        model: the generating model.
        processor: the processors of its checkpoint.
    """

    def __init__(self, model: Any, processor: ImageTextProcessor) -> None:
        self.model = model
        self.processor = processor
        self._device = next(model.parameters()).device
        self._dtype = next(p.dtype for p in model.parameters() if p.dtype.is_floating_point)
        self._accepted = frozenset(inspect.signature(model.forward).parameters) - {"labels"}  # for training

    @property
    @abstractmethod
    def reads_text(self) -> bool:
        """Whether the model presumably reads a text beside the image."""

    @abstractmethod
    def for_image(self, image: "Image.Image", text: str | None) -> Prompt:
        """The prompt of an image, alone or with a text.

        Raises:
            InvalidInput: the model cannot read the text.
        """

    @abstractmethod
    def for_chat(self, chat: Sequence[TemplateMessage]) -> Prompt:
        """The prompt of a chat with images.

        Raises:
            InvalidInput: the model does not support chats, or not this one.
        """

    def features(self, features: Mapping[str, Any]) -> "dict[str, torch.Tensor]":
        """The processor's outputs that the model's forward accepts, floats in the model's precision."""
        import torch

        tensors = {name: torch.as_tensor(value) for name, value in features.items() if name in self._accepted}
        return {
            name: tensor.to(self._dtype) if tensor.is_floating_point() else tensor for name, tensor in tensors.items()
        }


class SeparateImagePrompts(ImagePrompts):
    """The image goes to an encoder or before the text; the text starts the decoder's output."""

    def __init__(self, model: Any, processor: ImageTextProcessor) -> None:
        super().__init__(model, processor)
        start = decoder_start(model)
        if start is None:
            raise LoadError("the checkpoint has no decoder_start_token_id")
        self._start = start
        self._special = frozenset(processor.tokenizer.all_special_ids)
        self._measured: tuple[int, int] | None = None  # (numbers in an image's tensor, KV slots that it took)

    @property
    def reads_text(self) -> bool:
        return not self.model.config.is_encoder_decoder

    def for_image(self, image: "Image.Image", text: str | None) -> Prompt:
        features = self.features(self.processor.image_processor(images=image, return_tensors="pt"))
        inputs = {name: tensor[0] for name, tensor in features.items()}
        ids: tuple[int, ...] = ()
        if text is not None:
            require_text(text, "inputs.text")
            ids = tuple(self.processor.tokenizer(text, add_special_tokens=False)["input_ids"])
        # A text that begins with a special token replaces the decoder's start tokens (Donut's task tokens).
        start = () if ids and ids[0] in self._special else self._start
        return Prompt((*start, *ids), inputs, source_slots=self._slots_of(features))

    def for_chat(self, chat: Sequence[TemplateMessage]) -> Prompt:
        raise InvalidInput("inputs is a chat, which this model does not support; send an image, alone or with a text")

    def _slots_of(self, features: "dict[str, torch.Tensor]") -> int:
        """KV slots of an image: measured for the first image, estimated by area for other sizes."""
        values = max(tensor.numel() for tensor in features.values())
        if self._measured is None:
            self._measured = values, self._measure_slots(features)
        known, slots = self._measured
        return slots if values == known else -(-slots * values // known)

    def _measure_slots(self, features: "dict[str, torch.Tensor]") -> int:
        import torch

        inputs = {name: tensor.to(self._device) for name, tensor in features.items()}
        with torch.inference_mode():
            if self.model.config.is_encoder_decoder:
                return int(self.model.get_encoder()(**inputs)[0].shape[1])
            ids = torch.tensor([self._start], device=self._device)
            cache = self.model(input_ids=ids, **inputs, use_cache=True).past_key_values
        return int(cache.get_seq_length()) - len(self._start)


class InlineImagePrompts(ImagePrompts):
    """Images are part of the text: an image token for each of their KV slots."""

    def __init__(self, model: Any, processor: ImageTextProcessor) -> None:
        super().__init__(model, processor)
        if model.config.is_encoder_decoder:
            raise LoadError("encoder-decoder models with images in the encoder's text are not supported")
        self._image_token = str(processor.image_token)
        self._lock = Lock()  # processors may set their tokenizer's padding, which is not thread-safe
        self._inserts_image_token = self._probe_insertion()

    @property
    def reads_text(self) -> bool:
        return True

    def for_image(self, image: "Image.Image", text: str | None) -> Prompt:
        if text is not None:
            require_text(text, "inputs.text")
        if self.processor.has_chat_template:
            words = [] if text is None else [{"type": "text", "text": text}]
            return self.for_chat([{"role": "user", "content": [{"type": "image", "image": image}, *words]}])
        text = text or ""
        with_image_token = text if self._inserts_image_token or self._image_token in text else self._image_token + text
        return self._read(lambda: self.processor.joint(text=with_image_token, images=[image], return_tensors="pt"))

    def for_chat(self, chat: Sequence[TemplateMessage]) -> Prompt:
        joint = self.processor.joint
        if not self.processor.has_chat_template:
            raise InvalidInput("inputs is a chat, but this model has no chat template; send an image with a text")
        for text in _texts(chat):
            if self._image_token in text:
                raise InvalidInput(f"inputs has {self._image_token!r} in a text; send images as separate parts")
        continues = chat[-1]["role"] == "assistant"  # the model continues a last assistant message
        options = {"add_generation_prompt": not continues, "continue_final_message": continues}
        return self._read(
            lambda: joint.apply_chat_template(
                self._as_expected(chat, options), tokenize=True, return_dict=True, return_tensors="pt", **options
            )
        )

    def _as_expected(self, chat: Sequence[TemplateMessage], options: Mapping[str, bool]) -> Sequence[TemplateMessage]:
        """The chat, with texts as lists of parts if the template ignores plain strings."""
        if not any(isinstance(message["content"], str) for message in chat):
            return chat
        listed = [message | {"content": _parts(message)} for message in chat]
        for candidate in (chat, listed):
            try:
                rendered = self.processor.joint.apply_chat_template(candidate, tokenize=False, **options)
            except Exception:  # templates fail in any way; the error for the unchanged chat is reported later
                continue
            if all(text.strip() in rendered for text in _texts(chat)):
                return candidate
        return chat

    def _probe_insertion(self) -> bool:
        """Whether the processor inserts the image token into a text without one; others reject such a text."""
        from PIL import Image

        image, joint = Image.new("RGB", (64, 64)), self.processor.joint
        try:
            with_token, without_token = (
                joint(text=text, images=[image])["input_ids"][0] for text in (self._image_token + "a", "a")
            )
        except Exception:  # processors fail in any way
            return False
        token_id = self.processor.tokenizer.convert_tokens_to_ids(self._image_token)
        return 0 < list(without_token).count(token_id) <= list(with_token).count(token_id)

    def _read(self, process: Any) -> Prompt:
        try:
            with self._lock:
                features = dict(process())
        except Exception as error:  # templates and processors fail in any way
            raise InvalidInput(f"the model's processor rejects inputs: {error}") from error
        ids = features.pop("input_ids")[0].tolist()
        features.pop("attention_mask", None)
        inputs = self.features(features)
        joined = frozenset(name for name, tensor in inputs.items() if tensor.shape[0] != 1)
        unbatched = {name: tensor if name in joined else tensor[0] for name, tensor in inputs.items()}
        return Prompt(ids, unbatched, joined=joined)


def image_prompts(model: Any, processor: ImageTextProcessor) -> ImagePrompts:
    """The prompt builder for this model."""
    kind = SeparateImagePrompts if processor.image_token is None else InlineImagePrompts
    return kind(model, processor)


def _parts(message: TemplateMessage) -> list[dict[str, Any]]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _texts(chat: Sequence[TemplateMessage]) -> list[str]:
    return [part["text"] for message in chat for part in _parts(message) if part["type"] == "text"]
