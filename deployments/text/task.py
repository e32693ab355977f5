"""TextTask: tokenizes texts to rows. Limits on length, and the layouts of text encoders."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from deployments.checkpoints.facts import facts_of
from deployments.checkpoints.load import Checkpoint
from deployments.contract.task import Prepared, RequestT, ResponseT, Row
from deployments.errors import InvalidInput, LoadError, TooLarge
from deployments.layouts.task import ForwardTask
from deployments.layouts.text import UNBOUNDED, Alone, Layout, Packed, Padded, SameLength
from deployments.numerics import as_float32
from deployments.text.beginning import truncated_from_beginning
from deployments.text.fast_tokenizers import as_fast

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

logger = logging.getLogger(__name__)

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
    gathers: ClassVar[bool] = False  # rows name the positions that the model's head needs

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint)
        self.tokenizer: PreTrainedTokenizerFast = checkpoint.processor
        if not getattr(self.tokenizer, "is_fast", False):
            raise LoadError(f"{checkpoint.config.model}: no fast tokenizer (tokenizer.json), which {self.name} needs")
        self.input_names = set(self.tokenizer.model_input_names) - {"attention_mask"}
        facts = self.facts()
        self.embeddings = facts.embeddings or 0
        if "bbox" in facts.inputs:
            raise LoadError(
                f"{checkpoint.config.model}: {facts.class_name} also reads where on a page each word is "
                "(bbox), which a text does not have; it would answer as if all words lay on one another"
            )
        self.max_length = max_length_of(checkpoint)
        self._embedded = embedded_tokens(self.tokenizer, checkpoint.model)

    @classmethod
    def load_processor(cls, source: str, revision: str | None) -> Any:
        return as_fast(super().load_processor(source, revision))

    def layouts(self) -> Sequence[Layout]:
        """Where rows name positions, each layout with and without gathering them: some models have more than a head
        after the encoder."""
        kinds: tuple[type[Layout], ...] = (Packed, Padded, SameLength, Alone)
        model, pad = self.checkpoint.model, self.checkpoint.pad_token_id
        layouts = [kind(model, pad, nested=self.nested) for kind in kinds for _ in range(2 if self.gathers else 1)]
        for layout in layouts[1::2] if self.gathers else ():
            layout.trims = False
        return layouts

    def gathered(self, rows: Sequence[Row]) -> list[Any]:
        """Run the model; per row the logits `[positions, …]` at its `gather_positions`, whether the layout gathers or
        not."""
        batch = self.run(rows)
        found = []
        for logits, length, row in zip(batch.output.logits, batch.lengths, rows, strict=True):
            assert row.gather_positions is not None
            is_trimmed = length == len(row.gather_positions)
            found.append(as_float32(logits[:length] if is_trimmed else logits[list(row.gather_positions)]))
        return found

    def unusual_rows(self, row: Row) -> Sequence[Row]:
        """The row with each special token among its tokens, ending in padding, and with one token throughout.

        A text can contain special tokens by name. Models look at them across the row: ESM scales it by its share of
        masks, RoBERTa's positions skip padding, classifiers on decoders look for the last token that is no padding.
        """
        ids = row.inputs["input_ids"]
        known = self.embeddings
        pad = [self.checkpoint.pad_token_id]
        special = [token for token in dict.fromkeys([*pad, *self.tokenizer.all_special_ids]) if token < known]
        variants = [
            [token if 0 < i < len(ids) - 1 and i % 3 == 1 else ids[i] for i in range(len(ids))] for token in special
        ]
        variants += [[*ids[:-1], *pad], [ids[len(ids) // 2]] * len(ids)]
        return [replace(row, inputs={**row.inputs, "input_ids": variant}) for variant in variants]

    def tokens_in(self, prepared: Prepared) -> int:
        return sum(row.length for row in prepared.rows)

    def tokens_of(self, items: Sequence[tuple[Prepared, Sequence[Any]]]) -> tuple[int, int | None]:
        return sum(self.tokens_in(prepared) for prepared, _ in items), None

    def encode(
        self,
        text: str,
        pair: str | None = None,
        *,
        truncate: bool = True,
        side: Side = "right",
        field: str = "inputs",
        special_tokens: bool = True,
        max_length: int | None = None,
    ) -> Encoded:
        """Tokenize a text or pair, truncated to `max_length` (default: the model's) if allowed.

        Raises:
            InvalidInput: the text is empty, or too long and must not be truncated. `field` names it in the message.
        """
        require_text(text, field)
        encoding, truncated = tokenized(
            self.tokenizer,
            text,
            pair,
            max_length=self.max_length if max_length is None else max_length,
            truncate=truncate,
            side=side,
            field=field,
            special_tokens=special_tokens,
        )
        return Encoded(self.row(encoding), truncated, encoding)

    def row(self, encoding: Any, index: int | None = None, gather_positions: tuple[int, ...] | None = None) -> Row:
        """A row from the tokenizer's output; `index` selects one of several windows.

        Raises:
            InvalidInput: see `require_embedded`.
        """
        inputs = {
            name: list(value if index is None else value[index])
            for name, value in encoding.items()
            if name in self.input_names
        }
        require_embedded(inputs["input_ids"], self._embedded, self.tokenizer)
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
    special_tokens: bool = True,
) -> tuple[Any, bool]:
    """Tokenize a text or pair, with the special tokens around it unless the text has its own. Returns the encoding and
    whether it was truncated to `max_length` tokens.

    Raises:
        InvalidInput: too long, and must not be truncated. `field` names the text in the message.
    """
    if truncate and side == "right" and pair is None:
        shortened = truncated_from_beginning(tokenizer, text, max_length, special_tokens)
        if shortened is not None:
            return shortened, True
    encoding = tokenizer(text, pair, add_special_tokens=special_tokens)
    tokens = len(encoding["input_ids"])
    if tokens <= max_length:
        return encoding, False
    if not truncate:
        raise InvalidInput(f"{field} has {tokens} tokens; the model reads at most {max_length}")
    tokenizer.truncation_side = side
    options = {"truncation": True, "max_length": max_length, "add_special_tokens": special_tokens}
    return tokenizer(text, pair, **options), True


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


def embedded_tokens(tokenizer: Any, model: Any) -> int | None:
    """The number of tokens that a model has embeddings for, if its tokenizer has others, too; else None."""
    embedded = facts_of(model).embeddings
    if embedded is None or len(tokenizer) <= embedded:
        return None
    logger.warning(
        "the tokenizer has %d tokens and the model embeddings for %d; texts with others are refused",
        len(tokenizer),
        embedded,
    )
    return embedded


def require_embedded(ids: Sequence[int], embedded: int | None, tokenizer: Any, field: str = "inputs") -> None:
    """Reject a text with a token that the model has no embedding for.

    Raises:
        InvalidInput: a token of `embedded` or above; `field` names the text in the message.
    """
    if embedded is not None and (highest := max(ids, default=0)) >= embedded:
        token = tokenizer.convert_ids_to_tokens(highest)
        raise InvalidInput(
            f"{field} has the token {token!r} ({highest}), and the model has embeddings for {embedded}: the "
            "checkpoint's tokenizer does not fit its weights"
        )


def max_length_of(checkpoint: Checkpoint) -> int:
    """The model's maximum input length in tokens: the minimum of configuration, tokenizer and position embeddings.

    Tokenizers without a maximum say -1, or a number of thirty digits.
    """
    limits = [UNBOUNDED]
    if checkpoint.processor.model_max_length > 0:
        limits.append(checkpoint.processor.model_max_length)
    positions = getattr(checkpoint.model.config, "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        limits.append(positions - facts_of(checkpoint.model).position_offset)
    if checkpoint.config.max_length:
        limits.append(checkpoint.config.max_length)
    return int(min(limits))
