"""What the text tasks share: text to rows, lengths, and the layouts that text encoders allow."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from deployments.checkpoint import Checkpoint
from deployments.contract.task import Prepared, RequestT, ResponseT, Row
from deployments.errors import InvalidInput, LoadError, TooLarge
from deployments.layouts.packing import position_offset
from deployments.layouts.task import ForwardTask
from deployments.layouts.text import Alone, Layout, Packed, Padded, SameLength

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Side = Literal["left", "right"]

MAX_CHARACTERS = 1 << 18  # the tokenizer needs about 0.1 s for so many, and all requests of a replica share it

_WORDS = (
    "the river rose in the night and the old bridge by the mill was gone before anyone in the village woke to see it "
    "so they sent a boy on a grey horse to the next town with a letter that asked for timber rope and forty men"
).split()


def filler(words: int) -> str:
    """Ordinary English of exactly so many words."""
    return " ".join(islice(cycle(_WORDS), words))


@dataclass(frozen=True, slots=True)
class Encoded:
    """One text (or pair) as the model reads it.

    Attributes:
        row: the model's input.
        truncated: tokens were cut off.
        encoding: the tokenizer's own result, for offsets, words and sequence ids.
    """

    row: Row
    truncated: bool
    encoding: Any


class TextTask(ForwardTask[RequestT, ResponseT]):
    """A task whose rows are token ids. Needs a fast tokenizer, for offsets and speed.

    The tokenizer keeps its truncation settings inside itself and is not thread-safe: one thread calls `preprocess`.
    """

    auto_processor: ClassVar[str] = "AutoTokenizer"
    nested: ClassVar[bool] = False  # the model wants a choice dimension

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint)
        self.tokenizer: PreTrainedTokenizerFast = checkpoint.processor
        if not getattr(self.tokenizer, "is_fast", False):
            raise LoadError(f"{checkpoint.config.model}: no fast tokenizer (tokenizer.json); {self.name} needs one")
        self.input_names = set(self.tokenizer.model_input_names) - {"attention_mask"}
        self.max_length = max_length_of(checkpoint)

    def layouts(self) -> Sequence[Layout]:
        kinds: tuple[type[Layout], ...] = (Packed, Padded, SameLength, Alone)
        model, pad = self.checkpoint.model, self.checkpoint.pad_token_id
        return [kind(model, pad, nested=self.nested) for kind in kinds]

    def tokens_in(self, prepared: Prepared) -> int:
        return sum(row.length for row in prepared.rows)

    def tokens_of(self, items: Sequence[tuple[Prepared, Sequence[Any]]]) -> tuple[int, int | None]:
        return sum(self.tokens_in(prepared) for prepared, _ in items), None

    def encode(
        self, text: str, pair: str | None = None, *, truncate: bool = True, side: Side = "right", what: str = "inputs"
    ) -> Encoded:
        """Tokenize, and cut to what the model reads if allowed.

        Raises:
            InvalidInput: the text is empty, or too long and must not be cut. `what` names it in the message.
        """
        require_text(text, what)
        encoding, truncated = tokenized(
            self.tokenizer, text, pair, most=self.max_length, truncate=truncate, side=side, what=what
        )
        return Encoded(self.row(encoding), truncated, encoding)

    def row(self, encoding: Any, index: int | None = None, keep: tuple[int, ...] | None = None) -> Row:
        """A row from a tokenizer's result (`index` picks one of several windows)."""
        inputs = {
            name: list(value if index is None else value[index])
            for name, value in encoding.items()
            if name in self.input_names
        }
        return Row(inputs, len(inputs["input_ids"]), keep)


def tokenized(
    tokenizer: Any,
    text: str,
    pair: str | None = None,
    *,
    most: int,
    truncate: bool = True,
    side: Side = "right",
    what: str = "inputs",
) -> tuple[Any, bool]:
    """What the tokenizer makes of a text (or pair), and whether it was cut to `most` tokens.

    Raises:
        InvalidInput: too long, and it must not be cut. `what` names the text in the message.
    """
    encoding = tokenizer(text, pair)
    tokens = len(encoding["input_ids"])
    if tokens <= most:
        return encoding, False
    if not truncate:
        raise InvalidInput(f"{what} has {tokens} tokens; the model reads at most {most}")
    tokenizer.truncation_side = side
    return tokenizer(text, pair, truncation=True, max_length=most), True


def require_text(text: str, what: str) -> None:
    """Refuse a text with nothing in it, or with so much that reading it would hold up everybody else.

    Raises:
        InvalidInput: empty or only white space.
        TooLarge: more than `MAX_CHARACTERS`.
    """
    require_length(text, what)
    if text.isspace():
        raise InvalidInput(f"{what} is empty")


def require_length(text: str, what: str) -> None:
    """The same for a text that may be white space alone."""
    if not text:
        raise InvalidInput(f"{what} is empty")
    if len(text) > MAX_CHARACTERS:
        raise TooLarge(f"{what} has {len(text):,} characters; at most {MAX_CHARACTERS:,} are read")


def max_length_of(checkpoint: Checkpoint) -> int:
    """Tokens that the model reads: the least of what configuration, tokenizer and position embeddings allow."""
    limits = [checkpoint.processor.model_max_length]
    positions = getattr(checkpoint.model.config, "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        limits.append(positions - position_offset(checkpoint.model))
    if checkpoint.config.max_length:
        limits.append(checkpoint.config.max_length)
    return int(min(limits))
