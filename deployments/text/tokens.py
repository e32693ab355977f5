"""Tokens: token ids in place of a text, and what a model's tokenizer makes of a text and of ids."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from deployments.contract.task import Body, Task
from deployments.errors import InvalidInput, TooLarge
from deployments.text.task import MAX_CHARACTERS, require_length

TokenIds = Annotated[list[Annotated[int, Field(ge=0, strict=True)]], Field(min_length=1)]
"""A text as its model's own token ids, special ones included; read as they are."""


class TokenizeRequest(Body):
    """What is to be tokenized."""

    inputs: str | list[str] = Field(description="A text or a list of texts.")
    add_special_tokens: bool = Field(default=True, description="With the tokens that the model reads around a text.")
    prompt_name: str | None = Field(default=None, description="A prompt of the checkpoint to put in front.")
    offsets: Literal["characters", "bytes"] = Field(
        default="characters", description="What `start` and `stop` count; bytes are those of UTF-8."
    )


class TokenOfText(BaseModel):
    """A token, and where in the text it stands; null for special tokens and where the tokenizer does not say."""

    id: int
    text: str
    special: bool
    start: int | None
    stop: int | None


class DecodeRequest(Body):
    """What is to be text again."""

    ids: TokenIds | Annotated[list[TokenIds], Field(min_length=1)] = Field(
        description="Token ids, or a list of such lists."
    )
    skip_special_tokens: bool = True


def are_ids(inputs: Any) -> bool:
    """Whether an input is a text's token ids."""
    return isinstance(inputs, list) and bool(inputs) and isinstance(inputs[0], int)


def require_known(ids: Sequence[int], known: int, what: str = "inputs") -> None:
    """Refuse ids that a model or a tokenizer has no token for.

    Raises:
        InvalidInput: an id of `known` or above; `what` names the ids in the message.
        TooLarge: more ids than a text may have characters.
    """
    if len(ids) > MAX_CHARACTERS:
        raise TooLarge(f"{what} has {len(ids):,} token ids; at most {MAX_CHARACTERS:,} are read")
    highest = max(ids)
    if highest >= known:
        raise InvalidInput(f"{what} has the token id {highest}; this model's end at {known - 1}")


def tokenize(task: Task[Any, Any], asked: TokenizeRequest, most: int) -> list[list[dict[str, Any]]]:
    """The tokens of each text, `most` in all. On the text thread, as everything that uses the tokenizer.

    Raises:
        InvalidInput: the model has no tokenizer, no such prompt, or a text is empty.
        TooLarge: a text that is too long to be read, or too many tokens.
    """
    _require_tokenizer(task)
    prompt = task.prompt(asked.prompt_name)
    texts = [asked.inputs] if isinstance(asked.inputs, str) else asked.inputs
    found: list[list[dict[str, Any]]] = []
    tokens = 0
    for index, text in enumerate(texts):
        require_length(text, f"inputs[{index}]")
        found.append(_tokens(task.tokenizer, prompt + text, asked))
        tokens += len(found[-1])
        _require_few(tokens, most, "inputs")
    return found


def decode(task: Task[Any, Any], asked: DecodeRequest, most: int) -> list[str]:
    """The text of each list of ids, `most` in all. On the text thread.

    Raises:
        InvalidInput: the model has no tokenizer, or no such token.
        TooLarge: too many ids.
    """
    _require_tokenizer(task)
    lists: list[Any] = [asked.ids] if are_ids(asked.ids) else asked.ids
    _require_few(sum(map(len, lists)), most, "ids")
    for index, ids in enumerate(lists):
        require_known(ids, len(task.tokenizer), f"ids[{index}]")
    return [task.tokenizer.decode(ids, skip_special_tokens=asked.skip_special_tokens) for ids in lists]


def _require_tokenizer(task: Task[Any, Any]) -> None:
    if task.tokenizer is None:
        raise InvalidInput(f"a model of {task.name} that reads {task.medium} and writes no text has no tokens")


def _require_few(tokens: int, most: int, what: str) -> None:
    if tokens > most:
        raise TooLarge(f"{what} has {tokens:,} tokens or more; at most {most:,} are read of one request")


def _tokens(tokenizer: Any, text: str, asked: TokenizeRequest) -> list[dict[str, Any]]:
    says_where = bool(getattr(tokenizer, "is_fast", False))
    encoding = tokenizer(
        text,
        add_special_tokens=asked.add_special_tokens,
        return_special_tokens_mask=True,
        return_offsets_mapping=says_where,
        verbose=False,
    )
    ids, special = encoding["input_ids"], encoding["special_tokens_mask"]
    offsets: list[tuple[int, int] | None] = list(encoding["offset_mapping"]) if says_where else [None] * len(ids)
    places = _places(text) if asked.offsets == "bytes" else None
    return [
        _token(tokenizer, text, token, bool(is_special), None if is_special else offset, places)
        for token, is_special, offset in zip(ids, special, offsets, strict=True)
    ]


def _token(
    tokenizer: Any, text: str, token: int, special: bool, offset: tuple[int, int] | None, places: list[int] | None
) -> dict[str, Any]:
    start, stop = offset or (None, None)
    written = tokenizer.convert_ids_to_tokens(token) if offset is None else text[slice(start, stop)]
    if places is not None and offset is not None:
        start, stop = places[offset[0]], places[offset[1]]
    return {"id": token, "text": written, "special": special, "start": start, "stop": stop}


def _places(text: str) -> list[int]:
    """For every character, and the end, its place in the text's bytes."""
    places = [0]
    for character in text:
        places.append(places[-1] + len(character.encode("utf-8", "surrogatepass")))
    return places
