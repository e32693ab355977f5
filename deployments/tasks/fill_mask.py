"""fill-mask: the likeliest words for each blank of a text (`AutoModelForMaskedLM`).

Answers as transformers' `FillMaskPipeline` gives them. The language-model head is the largest layer of a small encoder
and is needed at the blanks alone, so rows keep only those positions; the logits of a blank are a vocabulary of numbers.
"""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from deployments.contract.labels import softmax
from deployments.contract.task import Body, Prepared, RequestBody, Row
from deployments.errors import InvalidInput, LoadError
from deployments.layouts.text import Layout
from deployments.text.task import TextTask, filler

if TYPE_CHECKING:
    from deployments.checkpoint import Checkpoint


class Parameters(Body):
    top_k: int = Field(default=5, ge=1, le=1000, description="The best so many words for each blank.")
    targets: list[str] | None = Field(
        default=None, description="Only these words; of one that is not in the vocabulary, its first piece."
    )
    truncate: bool = Field(default=True, description="Cut a text that is longer than the model reads.")


class Request(RequestBody):
    inputs: str | list[str] = Field(description="A text with the model's mask (such as [MASK]), or a list of them.")
    parameters: Parameters = Parameters()


class Filling(BaseModel):
    """A word for a blank, and the text with it put in; `score` is its share of the whole vocabulary."""

    sequence: str
    score: float
    token: int
    token_str: str


class FillMask(TextTask[Request, Any]):
    """Per text: a list of fillings, best first; where it has several blanks, such a list for each of them."""

    name = "fill-mask"
    purpose = "Fill blanks in a text: suggestions, checks of grammar, and what a language model knows."
    auto_model = "AutoModelForMaskedLM"
    architectures = ("ForMaskedLM",)
    request = Request
    response = list[Filling] | list[list[Filling]] | list[list[list[Filling]]]
    example = {"inputs": "Paris is the [MASK] of France."}

    def __init__(self, checkpoint: "Checkpoint") -> None:
        super().__init__(checkpoint)
        if self.tokenizer.mask_token_id is None:
            raise LoadError(f"{checkpoint.config.model}: the tokenizer has no mask token; {self.name} needs one")
        self.mask = str(self.tokenizer.mask_token)
        self.mask_id = int(self.tokenizer.mask_token_id)

    def layouts(self) -> Sequence[Layout]:
        """Each with and without dropping positions: behind some encoders more than a head follows."""
        whole = super().layouts()
        for layout in whole:
            layout.trims = False
        return [layout for pair in zip(super().layouts(), whole, strict=True) for layout in pair]

    def preprocess(self, request: Request) -> Prepared:
        assert isinstance(request.inputs, str)
        encoded = self.encode(request.inputs, truncate=request.parameters.truncate)
        blanks = tuple(i for i, token in enumerate(encoded.row.inputs["input_ids"]) if token == self.mask_id)
        total = self._count_blanks(request.inputs) if encoded.truncated else len(blanks)
        if not total:
            raise InvalidInput(f"inputs has no mask; write {self.mask} where the word is missing")
        if len(blanks) < total:
            raise InvalidInput(
                f"inputs has {total} masks, {total - len(blanks)} of them behind the first {self.max_length} tokens, "
                "which is all that the model reads"
            )
        targets = self._target_ids(request.parameters.targets)
        return Prepared([replace(encoded.row, keep=blanks)], context=targets, truncated=encoded.truncated)

    def forward(self, rows: Sequence[Row], params: Hashable) -> Sequence[Any]:
        """Per row: logits [blanks, vocabulary]."""
        laid = self.run(rows)
        outputs = []
        for logits, length, row in zip(laid.output.logits, laid.lengths, rows, strict=True):
            assert row.keep is not None
            trimmed = length == len(row.keep)
            blanks = logits[:length] if trimmed else logits[list(row.keep)]
            outputs.append(blanks.float().cpu().numpy())
        return outputs

    def postprocess(self, request: Request, prepared: Prepared, outputs: Sequence[Any]) -> Any:
        row = prepared.rows[0]
        assert row.keep is not None
        scores = softmax(outputs[0])
        tokens = list(row.inputs["input_ids"])
        answers = [
            self._fillings(tokens, blank, blank_scores, prepared.context, request.parameters.top_k, len(row.keep) == 1)
            for blank, blank_scores in zip(row.keep, scores, strict=True)
        ]
        return answers[0] if len(answers) == 1 else answers

    def sized_example(self, words: int) -> Request:
        """One blank; two in longer texts, so that the check at load sees rows that keep unequally many positions."""
        blanks = self.mask if words < 24 else f"{self.mask} the {self.mask}"
        return Request(inputs=f"{blanks} {filler(words)}")  # in front, where no limit cuts them off

    def _fillings(
        self, tokens: list[int], blank: int, scores: Any, targets: Sequence[int] | None, top_k: int, only: bool
    ) -> list[dict[str, Any]]:
        """The best tokens for one blank; `only` blank: special tokens (the other blanks, too) leave the text."""
        fillings = []
        for token in _best(scores, targets, top_k):
            filled = [*tokens[:blank], token, *tokens[blank + 1 :]]
            filled = [piece for piece in filled if piece != self.tokenizer.pad_token_id]
            fillings.append(
                {
                    "sequence": self.tokenizer.decode(filled, skip_special_tokens=only),
                    "score": scores[token],
                    "token": token,
                    "token_str": self.tokenizer.decode([token]),
                }
            )
        return fillings

    def _count_blanks(self, text: str) -> int:
        ids: list[int] = self.tokenizer(text)["input_ids"]
        return ids.count(self.mask_id)

    def _target_ids(self, targets: list[str] | None) -> list[int] | None:
        """Vocabulary ids of the wished words, each once; None where nothing was wished.

        Raises:
            InvalidInput: none of them has a token.
        """
        if targets is None:
            return None
        found: set[int] = set()
        for target in targets:
            token = self.tokenizer.backend_tokenizer.token_to_id(target)
            pieces = self.tokenizer(target, add_special_tokens=False)["input_ids"] if token is None else [token]
            found.update(pieces[:1])
        if not found:
            raise InvalidInput("parameters.targets names no word that the model has a token for")
        return sorted(found)


def _best(scores: Any, targets: Sequence[int] | None, top_k: int) -> list[int]:
    """Ids of the `top_k` best scores, of the targets or of all, best first; ties by id."""
    import numpy as np

    ids = np.arange(len(scores)) if targets is None else np.asarray(targets)
    if top_k < len(ids):  # a full sort of a vocabulary takes ten times as long as this selection
        ids = np.sort(ids[np.argpartition(-scores[ids], top_k)[:top_k]])
    order = np.argsort(-scores[ids], kind="stable")
    return [int(token) for token in ids[order]]
