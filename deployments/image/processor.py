"""What reads pictures and text for one model: an image processor, a tokenizer, and what puts the two together."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class PictureProcessor:
    """The processors of a checkpoint that reads pictures and writes text.

    Attributes:
        image_processor: its Pillow backend, as for all tasks that read pictures.
        tokenizer: of the text.
        together: the checkpoint's own class for both, which knows where a picture stands in a text; None where the
            checkpoint has only the two by themselves.
    """

    image_processor: Any
    tokenizer: Any
    together: Any

    @property
    def picture_mark(self) -> str | None:
        """The token that stands for a picture in a text; None if pictures do not stand in the text."""
        mark = getattr(self.together, "image_token", None)
        return None if mark is None else str(mark)

    @property
    def chats(self) -> bool:
        """Whether it has a template that makes a prompt of a chat."""
        return getattr(self.together, "chat_template", None) is not None


def load_picture_processor(source: str, revision: str | None) -> PictureProcessor:
    """The processors of a checkpoint; `source` is what `from_pretrained` takes."""
    from transformers import AutoImageProcessor, AutoProcessor, AutoTokenizer

    image_processor = AutoImageProcessor.from_pretrained(source, revision=revision, backend="pil")
    # Where the two lie in a folder by themselves, this is the tokenizer or the image processor alone.
    together = AutoProcessor.from_pretrained(source, revision=revision)
    if not (hasattr(together, "image_processor") and hasattr(together, "tokenizer")):
        return PictureProcessor(image_processor, AutoTokenizer.from_pretrained(source, revision=revision), None)
    together.image_processor = image_processor
    return PictureProcessor(image_processor, together.tokenizer, together)
