"""Token ids as inputs, and tokenizing and decoding with a model's tokenizer."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from deployments.contract.task import Body, Task
from deployments.errors import InvalidInput, TooLarge
from deployments.text.task import MAX_CHARACTERS, require_length

TokenIds = Annotated[list[Annotated[int, Field(ge=0, strict=True)]], Field(min_length=1)]
"""A text as token ids of the model, special tokens included; used unchanged."""


class TokenizeRequest(Body):
    """Texts to tokenize."""

    inputs: str | list[str] = Field(description="A text or a list of texts.")
    add_special_tokens: bool = Field(default=True, description="Add the model's special tokens around a text.")
    prompt_name: str | None = Field(default=None, description="Name of a prompt of the checkpoint to prepend.")
    offsets: Literal["characters", "bytes"] = Field(
        default="characters", description="Unit of `start` and `stop`: characters, or bytes of the UTF-8 encoding."
    )


class TokenOfText(BaseModel):
    """A token and its offsets in the text; null for special tokens and if the tokenizer has no offsets."""

    id: int
    text: str
    special: bool
    start: int | None
    stop: int | None


class DecodeRequest(Body):
    """Token ids to decode."""

    ids: TokenIds | Annotated[list[TokenIds], Field(min_length=1)] = Field(
        description="Token ids, or a list of such lists."
    )
    skip_special_tokens: bool = True


def are_ids(inputs: Any) -> bool:
    """Whether an input is the token ids of one text."""
    return isinstance(inputs, list) and bool(inputs) and isinstance(inputs[0], int)


def require_known(ids: Sequence[int], vocabulary_size: int, field: str = "inputs") -> None:
    """Reject ids that are not in the vocabulary.

    Raises:
        InvalidInput: an id of `vocabulary_size` or above; `field` names the ids in the message.
        TooLarge: more ids than `MAX_CHARACTERS`.
    """
    if len(ids) > MAX_CHARACTERS:
        raise TooLarge(f"{field} has {len(ids):,} token ids; the limit is {MAX_CHARACTERS:,}")
    highest = max(ids)
    if highest >= vocabulary_size:
        raise InvalidInput(f"{field} has the token id {highest}; this model's highest is {vocabulary_size - 1}")


def tokenize(task: Task[Any, Any], request: TokenizeRequest, max_tokens: int) -> list[list[dict[str, Any]]]:
    """The tokens of each text, at most `max_tokens` in all. Runs on the preprocessing thread, which owns the tokenizer.

    Raises:
        InvalidInput: the model has no tokenizer or no such prompt, or a text is empty.
        TooLarge: a text is too long, or there are too many tokens.
    """
    _require_tokenizer(task)
    prompt = task.prompt(request.prompt_name)
    texts = [request.inputs] if isinstance(request.inputs, str) else request.inputs
    answers: list[list[dict[str, Any]]] = []
    tokens = 0
    for index, text in enumerate(texts):
        require_length(text, f"inputs[{index}]")
        answers.append(_tokens(task.tokenizer, prompt + text, request))
        tokens += len(answers[-1])
        _require_few(tokens, max_tokens, "inputs")
    return answers


def decode(task: Task[Any, Any], request: DecodeRequest, max_tokens: int) -> list[str]:
    """The text of each list of ids, at most `max_tokens` in all. Runs on the preprocessing thread.

    Raises:
        InvalidInput: the model has no tokenizer, or an id is not in the vocabulary.
        TooLarge: too many ids.
    """
    _require_tokenizer(task)
    lists: list[Any] = [request.ids] if are_ids(request.ids) else request.ids
    _require_few(sum(map(len, lists)), max_tokens, "ids")
    for index, ids in enumerate(lists):
        require_known(ids, len(task.tokenizer), f"ids[{index}]")
    return [task.tokenizer.decode(ids, skip_special_tokens=request.skip_special_tokens) for ids in lists]


def _require_tokenizer(task: Task[Any, Any]) -> None:
    if task.tokenizer is None:
        raise InvalidInput(f"this model ({task.name}, {task.medium}) has no tokenizer")


def _require_few(tokens: int, max_tokens: int, field: str) -> None:
    if tokens > max_tokens:
        raise TooLarge(f"{field} has {tokens:,} tokens or more; the limit for one request is {max_tokens:,}")


def _tokens(tokenizer: Any, text: str, request: TokenizeRequest) -> list[dict[str, Any]]:
    has_offsets = bool(getattr(tokenizer, "is_fast", False))
    encoding = tokenizer(
        text,
        add_special_tokens=request.add_special_tokens,
        return_special_tokens_mask=True,
        return_offsets_mapping=has_offsets,
        verbose=False,
    )
    ids, special = encoding["input_ids"], encoding["special_tokens_mask"]
    offsets: list[tuple[int, int] | None] = list(encoding["offset_mapping"]) if has_offsets else [None] * len(ids)
    byte_offsets = _byte_offsets(text) if request.offsets == "bytes" else None
    return [
        _token(tokenizer, text, token, bool(is_special), None if is_special else offset, byte_offsets)
        for token, is_special, offset in zip(ids, special, offsets, strict=True)
    ]


def _token(
    tokenizer: Any, text: str, token: int, special: bool, offset: tuple[int, int] | None, byte_offsets: list[int] | None
) -> dict[str, Any]:
    start, stop = offset or (None, None)
    piece = tokenizer.convert_ids_to_tokens(token) if offset is None else text[slice(start, stop)]
    if byte_offsets is not None and offset is not None:
        start, stop = byte_offsets[offset[0]], byte_offsets[offset[1]]
    return {"id": token, "text": piece, "special": special, "start": start, "stop": stop}


def _byte_offsets(text: str) -> list[int]:
    """The byte offset of every character, and of the end."""
    byte_offsets = [0]
    for character in text:
        byte_offsets.append(byte_offsets[-1] + len(character.encode("utf-8", "surrogatepass")))
    return byte_offsets
