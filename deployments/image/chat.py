"""Requests about pictures: a picture, one with a text, and chats in which pictures stand among the words."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AliasChoices, Discriminator, Field, Tag, model_validator

from deployments.contract.task import Body
from deployments.media.content import Media

if TYPE_CHECKING:
    from PIL import Image

MAX_PICTURES = 64  # of one chat

SeenMessage = dict[str, Any]  # a message as chat templates know it, its pictures decoded


class PictureWithText(Body):
    """A picture, and a text about it: how its caption begins, or a question."""

    image: Media
    text: str | None = Field(default=None, validation_alias=AliasChoices("text", "question", "prompt"))


class ImageUrl(Body):
    """A picture as OpenAI's clients send it."""

    url: Media
    detail: str | None = None  # theirs; the checkpoint says how large a picture is read


class Part(Body):
    """A text or a picture of a message."""

    type: Literal["text", "image", "image_url"]
    text: str | None = None
    image: Media | None = Field(default=None, validation_alias=AliasChoices("image", "url"))
    image_url: ImageUrl | None = None

    @model_validator(mode="after")
    def _is_what_it_says(self) -> Self:
        for name in ("text", "image", "image_url"):
            if (getattr(self, name) is not None) != (name == self.type):
                raise ValueError(f"a part of type {self.type!r} has a field `{self.type}`, and no other")
        return self

    @property
    def picture(self) -> Media | None:
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
    """Whether a list is a chat: of messages, read or not read yet."""
    first = value[0] if isinstance(value, list) and value else None
    return isinstance(first, Message) or (isinstance(first, dict) and ("role" in first or "content" in first))


def _what(value: Any) -> str:
    """Which of the types below a value means to be: so that an error is about that one alone."""
    if isinstance(value, (dict, PictureWithText)):
        return "PictureWithText"
    return "Chat" if isinstance(value, list) else "Picture"


def _what_at_the_top(value: Any) -> str:
    return "Batch" if isinstance(value, list) and not is_chat(value) else _what(value)


_Picture = Annotated[Media, Tag("Picture")]
_WithText = Annotated[PictureWithText, Tag("PictureWithText")]
_Chat = Annotated[Chat, Tag("Chat")]
Item = Annotated[_Picture | _WithText | _Chat, Discriminator(_what)]
_Batch = Annotated[list[Item], Tag("Batch")]
Inputs = Annotated[_Picture | _WithText | _Chat | _Batch, Discriminator(_what_at_the_top)]


def pictures_of(chat: Chat) -> Iterator[tuple[str, Media]]:
    """The pictures of a chat in their order, each with its place in the request."""
    for number, message in enumerate(chat):
        for place, part in enumerate(message.parts):
            if part.picture is not None:
                yield _place(number, place), part.picture


def seen(chat: Chat, pictures: "Mapping[str, Image.Image]") -> list[SeenMessage]:
    """A chat as templates know it; `pictures` are its own, decoded, by their places."""
    return [
        {"role": message.role, "content": _content(message, number, pictures)} for number, message in enumerate(chat)
    ]


def _content(message: Message, number: int, pictures: "Mapping[str, Image.Image]") -> Any:
    if isinstance(message.content, str):
        return message.content
    return [
        {"type": "text", "text": part.text}
        if part.picture is None
        else {"type": "image", "image": pictures[_place(number, place)]}
        for place, part in enumerate(message.content)
    ]


def _place(message: int, part: int) -> str:
    return f"inputs[{message}].content[{part}]"
