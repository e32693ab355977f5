"""text-classification by a causal model: the score of a query and a document is a logit (`AutoModelForCausalLM`)."""

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from deployments.config import ModelConfig
from deployments.contract.labels import Label, apply_function
from deployments.contract.task import Prepared, Row
from deployments.errors import InvalidInput
from deployments.tasks.text_classification import Request, TextClassification, TextPair
from deployments.text.logit_score import PairTemplate, has_logit_score, read_logit_score
from deployments.text.task import Encoded, Side, filler, require_text

if TYPE_CHECKING:
    from deployments.checkpoints.load import Checkpoint

LABEL = "LABEL_0"  # of a model with one score, as in transformers


class CausalReranker(TextClassification):
    """The score of each pair of a query and a document."""

    auto_model = "AutoModelForCausalLM"
    example = {"inputs": {"text": "Where is the bridge?", "text_pair": "The old bridge by the mill is gone."}}
    gathers = True

    def __init__(self, checkpoint: "Checkpoint") -> None:
        super().__init__(checkpoint)
        self.score = read_logit_score(checkpoint.config)
        if self.score.max_length and not checkpoint.config.max_length:
            self.max_length = min(self.max_length, self.score.max_length)
        self.template: PairTemplate | None = None
        if self.score.message_format is not None:
            self.template = PairTemplate(self.tokenizer, self.score, checkpoint.config.model)

    @classmethod
    def claims(cls, config: ModelConfig) -> bool:
        return has_logit_score(config)

    def about(self) -> Mapping[str, Any]:
        return {"labels": [LABEL]}

    def preprocess(self, request: Request) -> Prepared:
        item, parameters = request.inputs, request.parameters
        if not isinstance(item, TextPair) or item.text_pair is None:
            raise InvalidInput("inputs: this model scores pairs; send {text: a query, text_pair: a document}")
        encoded = self._encode(item.text, item.text_pair, parameters.truncate, parameters.truncation_direction)
        row = Row(encoded.row.inputs, encoded.row.length, gather_positions=(encoded.row.length - 1,))
        return Prepared([row], truncated=encoded.truncated)

    def forward(self, rows: Sequence[Row], params: Hashable) -> Sequence[Any]:
        """Per row the logit `[1]`."""
        score, logits = self.score, self.gathered(rows)
        return [
            row[:, score.true_token] - (0 if score.false_token is None else row[:, score.false_token]) for row in logits
        ]

    def postprocess(self, request: Request, prepared: Prepared, outputs: Sequence[Any]) -> list[Label]:
        function = request.parameters.function_to_apply or self.score.function
        return [{"label": LABEL, "score": apply_function(outputs[0], function)[0]}]  # type: ignore[list-item]

    def sized_example(self, words: int) -> Request:
        return Request(inputs=TextPair(text=filler(max(1, words // 4)), text_pair=filler(words)))

    def _encode(self, query: str, document: str, truncate: bool, side: Side) -> Encoded:
        if self.template is None:
            return self.encode(self.score.prompt + query, document, truncate=truncate, side=side)
        require_text(query, "text")
        require_text(document, "text_pair")
        try:
            text = self.template(query, document)
        except Exception as error:  # a template is a program in the checkpoint and fails in any way
            raise InvalidInput(f"the model's chat template rejects inputs: {error}") from error
        encoded = self.encode(text, truncate=truncate, side=side, special_tokens=False)
        end, ids = self.template.end, list(encoded.row.inputs["input_ids"])
        if not encoded.truncated or not end:
            return encoded
        keep = min(len(end), len(ids))
        ids[len(ids) - keep :] = end[len(end) - keep :]
        return Encoded(Row({**encoded.row.inputs, "input_ids": ids}, len(ids)), True, encoded.encoding)
