"""TextTask: tokenizes texts to rows. Limits on length, and the layouts of text encoders."""

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

MAX_CHARACTERS = 1 << 18  # takes the tokenizer about 0.1 s, and all requests of a replica share it

_WORDS = (
    "the river rose in the night and the old bridge by the mill was gone before anyone in the village woke to see it "
    "so they sent a boy on a grey horse to the next town with a letter that asked for timber rope and forty men"
).split()


def filler(words: int) -> str:
    """Ordinary English of exactly `words` words."""
    return " ".join(islice(cycle(_WORDS), words))


@dataclass(frozen=True, slots=True)
class Encoded:
    """A tokenized text or pair.

    Attributes:
        row: the model's input.
        truncated: whether tokens were cut off.
        encoding: the tokenizer's output, with offsets, word ids and sequence ids.
    """

    row: Row
    truncated: bool
    encoding: Any


class TextTask(ForwardTask[RequestT, ResponseT]):
    """A task whose rows are token ids. Needs a fast tokenizer, for offsets and speed.

    The tokenizer stores its truncation settings and is not thread-safe, so `preprocess` runs on a single thread.
    """

    auto_processor: ClassVar[str] = "AutoTokenizer"
    nested: ClassVar[bool] = False  # the model expects a choice dimension

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint)
        self.tokenizer: PreTrainedTokenizerFast = checkpoint.processor
        if not getattr(self.tokenizer, "is_fast", False):
            raise LoadError(f"{checkpoint.config.model}: no fast tokenizer (tokenizer.json), which {self.name} needs")
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
        self, text: str, pair: str | None = None, *, truncate: bool = True, side: Side = "right", field: str = "inputs"
    ) -> Encoded:
        """Tokenize a text or pair, truncated to `max_length` if allowed.

        Raises:
            InvalidInput: the text is empty, or too long and must not be truncated. `field` names it in the message.
        """
        require_text(text, field)
        encoding, truncated = tokenized(
            self.tokenizer, text, pair, max_length=self.max_length, truncate=truncate, side=side, field=field
        )
        return Encoded(self.row(encoding), truncated, encoding)

    def row(self, encoding: Any, index: int | None = None, gather_positions: tuple[int, ...] | None = None) -> Row:
        """A row from the tokenizer's output; `index` selects one of several windows."""
        inputs = {
            name: list(value if index is None else value[index])
            for name, value in encoding.items()
            if name in self.input_names
        }
        return Row(inputs, len(inputs["input_ids"]), gather_positions)


def tokenized(
    tokenizer: Any,
    text: str,
    pair: str | None = None,
    *,
    max_length: int,
    truncate: bool = True,
    side: Side = "right",
    field: str = "inputs",
) -> tuple[Any, bool]:
    """Tokenize a text or pair. Returns the encoding and whether it was truncated to `max_length` tokens.

    Raises:
        InvalidInput: too long, and must not be truncated. `field` names the text in the message.
    """
    encoding = tokenizer(text, pair)
    tokens = len(encoding["input_ids"])
    if tokens <= max_length:
        return encoding, False
    if not truncate:
        raise InvalidInput(f"{field} has {tokens} tokens; the model reads at most {max_length}")
    tokenizer.truncation_side = side
    return tokenizer(text, pair, truncation=True, max_length=max_length), True


def require_text(text: str, field: str) -> None:
    """Reject an empty text, and one so long that tokenizing it would delay all other requests.

    Raises:
        InvalidInput: empty or only whitespace.
        TooLarge: more than `MAX_CHARACTERS`.
    """
    require_length(text, field)
    if text.isspace():
        raise InvalidInput(f"{field} is empty")


def require_length(text: str, field: str) -> None:
    """The same, but a text of whitespace is allowed."""
    if not text:
        raise InvalidInput(f"{field} is empty")
    if len(text) > MAX_CHARACTERS:
        raise TooLarge(f"{field} has {len(text):,} characters; the limit is {MAX_CHARACTERS:,}")


def max_length_of(checkpoint: Checkpoint) -> int:
    """The model's maximum input length in tokens: the minimum of configuration, tokenizer and position embeddings."""
    limits = [checkpoint.processor.model_max_length]
    positions = getattr(checkpoint.model.config, "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        limits.append(positions - position_offset(checkpoint.model))
    if checkpoint.config.max_length:
        limits.append(checkpoint.config.max_length)
    return int(min(limits))
