"""fill-mask: the most likely tokens for each mask in a text (`AutoModelForMaskedLM`).

Answers are those of transformers' `FillMaskPipeline`. The language-model head is the largest layer of a small encoder
and is needed only at masks, so rows gather only those positions; each mask has logits for the whole vocabulary.
"""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from deployments.contract.labels import softmax
from deployments.contract.task import Body, Prepared, RequestBody, Row
from deployments.errors import InvalidInput, LoadError
from deployments.text.task import TextTask, filler

if TYPE_CHECKING:
    from deployments.checkpoints.load import Checkpoint


class Parameters(Body):
    top_k: int = Field(default=5, ge=1, le=1000, description="Number of words to return for each mask.")
    targets: list[str] | None = Field(
        default=None,
        description="Only these words; one that is not in the vocabulary counts as its first token.",
    )
    truncate: bool = Field(
        default=True, description="Truncate texts longer than the model's maximum length; if false, reject them."
    )


class Request(RequestBody):
    inputs: str | list[str] = Field(
        description="A text with the model's mask token (such as [MASK]), or a list of texts."
    )
    parameters: Parameters = Parameters()


class Filling(BaseModel):
    """A token for a mask, and the text with it filled in; `score` is its probability over the whole vocabulary."""

    sequence: str
    score: float
    token: int
    token_str: str


class FillMask(TextTask[Request, Any]):
    """Per text a list of fillings, best first; with several masks, a list for each mask."""

    name = "fill-mask"
    purpose = "Fill blanks in a text: suggestions, grammar checks, probing what a language model knows."
    auto_model = "AutoModelForMaskedLM"
    architectures = ("ForMaskedLM", "XLMWithLMHeadModel", "FlaubertWithLMHeadModel")
    request = Request
    response = list[Filling] | list[list[Filling]] | list[list[list[Filling]]]
    example = {"inputs": "Paris is the [MASK] of France."}
    gathers = True

    def __init__(self, checkpoint: "Checkpoint") -> None:
        super().__init__(checkpoint)
        if self.tokenizer.mask_token_id is None:
            raise LoadError(f"{checkpoint.config.model}: the tokenizer has no mask token, which {self.name} needs")
        self.mask = str(self.tokenizer.mask_token)
        self.mask_id = int(self.tokenizer.mask_token_id)

    def preprocess(self, request: Request) -> Prepared:
        assert isinstance(request.inputs, str)
        encoded = self.encode(request.inputs, truncate=request.parameters.truncate)
        masks = tuple(i for i, token in enumerate(encoded.row.inputs["input_ids"]) if token == self.mask_id)
        total = self._count_masks(request.inputs) if encoded.truncated else len(masks)
        if not total:
            raise InvalidInput(f"inputs has no mask; write {self.mask} for the missing word")
        if len(masks) < total:
            raise InvalidInput(
                f"inputs has {total} masks, {total - len(masks)} of them after the first {self.max_length} tokens, "
                "the model's maximum length"
            )
        targets = self._target_ids(request.parameters.targets)
        return Prepared([replace(encoded.row, gather_positions=masks)], context=targets, truncated=encoded.truncated)

    def forward(self, rows: Sequence[Row], params: Hashable) -> Sequence[Any]:
        """Per row: logits `[masks, vocabulary]`."""
        return self.gathered(rows)

    def postprocess(self, request: Request, prepared: Prepared, outputs: Sequence[Any]) -> Any:
        row = prepared.rows[0]
        assert row.gather_positions is not None
        scores = softmax(outputs[0])
        tokens = list(row.inputs["input_ids"])
        answers = [
            self._fillings(
                tokens, mask, mask_scores, prepared.context, request.parameters.top_k, len(row.gather_positions) == 1
            )
            for mask, mask_scores in zip(row.gather_positions, scores, strict=True)
        ]
        return answers[0] if len(answers) == 1 else answers

    def sized_example(self, words: int) -> Request:
        """One mask, or two in longer texts: the check at load needs rows that gather unequal numbers of positions."""
        masks = self.mask if words < 24 else f"{self.mask} the {self.mask}"
        return Request(inputs=f"{masks} {filler(words)}")  # at the start, so that truncation keeps them

    def _fillings(
        self, tokens: list[int], mask: int, scores: Any, targets: Sequence[int] | None, top_k: int, only: bool
    ) -> list[dict[str, Any]]:
        """The best tokens for one mask. `only` mask: the decoded text has no special tokens (which include masks)."""
        fillings = []
        for token in _best(scores, targets, top_k):
            filled = [*tokens[:mask], token, *tokens[mask + 1 :]]
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

    def _count_masks(self, text: str) -> int:
        ids: list[int] = self.tokenizer(text)["input_ids"]
        return ids.count(self.mask_id)

    def _target_ids(self, targets: list[str] | None) -> list[int] | None:
        """Vocabulary ids of the target words, each once; None without targets.

        Raises:
            InvalidInput: no target has a token.
        """
        if targets is None:
            return None
        ids: set[int] = set()
        for target in targets:
            token = self.tokenizer.backend_tokenizer.token_to_id(target)
            pieces = self.tokenizer(target, add_special_tokens=False)["input_ids"] if token is None else [token]
            ids.update(pieces[:1])
        if not ids:
            raise InvalidInput("parameters.targets has no word in the model's vocabulary")
        return sorted(ids)


def _best(scores: Any, targets: Sequence[int] | None, top_k: int) -> list[int]:
    """Ids of the `top_k` best scores, among the targets or all tokens, best first; ties by id."""
    import numpy as np

    ids = np.arange(len(scores)) if targets is None else np.asarray(targets)
    if top_k < len(ids):  # sorting the whole vocabulary would take ten times as long
        ids = np.sort(ids[np.argpartition(-scores[ids], top_k)[:top_k]])
    order = np.argsort(-scores[ids], kind="stable")
    return [int(token) for token in ids[order]]
