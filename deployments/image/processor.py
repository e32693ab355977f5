"""Image processor, tokenizer and joint processor of a model that reads images and text."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ImageTextProcessor:
    """The processors of a checkpoint that reads images and writes text.

    Attributes:
        image_processor: the image processor, with the Pillow backend as in all image tasks.
        tokenizer: the tokenizer.
        joint: the checkpoint's processor for both, which places images in the text; None if the checkpoint has only
            the two separate ones.
    """

    image_processor: Any
    tokenizer: Any
    joint: Any

    @property
    def image_token(self) -> str | None:
        """The placeholder token of an image in the text; None if images are not part of the text."""
        token = getattr(self.joint, "image_token", None)
        return None if token is None else str(token)

    @property
    def has_chat_template(self) -> bool:
        """Whether chats can be turned into prompts."""
        return getattr(self.joint, "chat_template", None) is not None


def load_image_text_processor(source: str, revision: str | None) -> ImageTextProcessor:
    """Load the processors of a checkpoint; `source` is passed to `from_pretrained`."""
    from transformers import AutoImageProcessor, AutoProcessor, AutoTokenizer

    image_processor = AutoImageProcessor.from_pretrained(source, revision=revision, backend="pil")
    # Without a joint processor in the checkpoint, this is the tokenizer or the image processor.
    joint = AutoProcessor.from_pretrained(source, revision=revision)
    if not (hasattr(joint, "image_processor") and hasattr(joint, "tokenizer")):
        return ImageTextProcessor(image_processor, AutoTokenizer.from_pretrained(source, revision=revision), None)
    joint.image_processor = image_processor
    return ImageTextProcessor(image_processor, joint.tokenizer, joint)
