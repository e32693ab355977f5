"""Inputs with images: an image, an image with a text, and chats whose messages contain images."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AliasChoices, Discriminator, Field, Tag, model_validator

from deployments.contract.task import Body
from deployments.media.content import Media

if TYPE_CHECKING:
    from PIL import Image

MAX_IMAGES = 64  # of one chat

TemplateMessage = dict[str, Any]  # a message in the format of chat templates, with decoded images


class ImageWithText(Body):
    """An image and a text about it: the start of a caption, or a question."""

    image: Media
    text: str | None = Field(default=None, validation_alias=AliasChoices("text", "question", "prompt"))


class ImageUrl(Body):
    """An image in OpenAI's format."""

    url: Media
    detail: str | None = None  # accepted and ignored; the checkpoint determines the resolution


class Part(Body):
    """A text or an image in a message."""

    type: Literal["text", "image", "image_url"]
    text: str | None = None
    image: Media | None = Field(default=None, validation_alias=AliasChoices("image", "url"))
    image_url: ImageUrl | None = None

    @model_validator(mode="after")
    def _has_one_field(self) -> Self:
        for name in ("text", "image", "image_url"):
            if (getattr(self, name) is not None) != (name == self.type):
                raise ValueError(f"a part of type {self.type!r} must have the field `{self.type}` and no other")
        return self

    @property
    def media(self) -> Media | None:
        return self.image_url.url if self.image_url else self.image


class Message(Body):
    """One message of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str | list[Part]

    @property
    def parts(self) -> list[Part]:
        return [Part(type="text", text=self.content)] if isinstance(self.content, str) else self.content


Chat = list[Message]


def is_chat(value: Any) -> bool:
    """Whether a value is a chat: a list of messages, validated or not."""
    first = value[0] if isinstance(value, list) and value else None
    return isinstance(first, Message) or (isinstance(first, dict) and ("role" in first or "content" in first))


def _kind(value: Any) -> str:
    """Choose the union member by shape, so that a validation error concerns that member only."""
    if isinstance(value, (dict, ImageWithText)):
        return "ImageWithText"
    return "Chat" if isinstance(value, list) else "Picture"


def _kind_of_inputs(value: Any) -> str:
    return "Batch" if isinstance(value, list) and not is_chat(value) else _kind(value)


_Image = Annotated[Media, Tag("Picture")]
_WithText = Annotated[ImageWithText, Tag("ImageWithText")]
_Chat = Annotated[Chat, Tag("Chat")]
Item = Annotated[_Image | _WithText | _Chat, Discriminator(_kind)]
_Batch = Annotated[list[Item], Tag("Batch")]
Inputs = Annotated[_Image | _WithText | _Chat | _Batch, Discriminator(_kind_of_inputs)]


def images_of(chat: Chat) -> Iterator[tuple[str, Media]]:
    """The images of a chat in order, each with its path in the request."""
    for number, message in enumerate(chat):
        for place, part in enumerate(message.parts):
            if part.media is not None:
                yield _path(number, place), part.media


def template_messages(chat: Chat, images: "Mapping[str, Image.Image]") -> list[TemplateMessage]:
    """The chat in the format of chat templates. `images`: its decoded images by path."""
    return [{"role": message.role, "content": _content(message, number, images)} for number, message in enumerate(chat)]


def _content(message: Message, number: int, images: "Mapping[str, Image.Image]") -> Any:
    if isinstance(message.content, str):
        return message.content
    return [
        {"type": "text", "text": part.text}
        if part.media is None
        else {"type": "image", "image": images[_path(number, place)]}
        for place, part in enumerate(message.content)
    ]


def _path(message: int, part: int) -> str:
    return f"inputs[{message}].content[{part}]"
