"""feature-extraction for late interaction (ColBERT): a vector per token, compared by MaxSim (`AutoModel`)."""

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from deployments.config import ModelConfig
from deployments.contract.similarity import Sentences, max_sim
from deployments.contract.task import Prepared, Row
from deployments.errors import InvalidInput
from deployments.tasks.feature_extraction import FeatureExtraction
from deployments.text.embedder import TextEmbedder, TextInputs
from deployments.text.late_interaction import (
    Role,
    as_tokens,
    expansion_id,
    is_late_interaction,
    read_late_interaction,
    token_ids,
)
from deployments.text.task import Encoded, filler

if TYPE_CHECKING:
    from deployments.checkpoints.load import Checkpoint


class Request(TextInputs):
    prompt_name: Role = Field(
        default="document", description="Whether the texts are queries or documents; the two are read differently."
    )


class LateInteractionFeatureExtraction(TextEmbedder[Request, Any]):
    """`[inputs][tokens][dim]`: a vector for each token that counts. For sentences, their MaxSim to the source."""

    name = FeatureExtraction.name
    purpose = FeatureExtraction.purpose
    aliases = FeatureExtraction.aliases
    auto_model = FeatureExtraction.auto_model
    architectures = ()
    request = Request
    response = list[list[list[float]]] | list[float]
    example = FeatureExtraction.example
    unused_weights = FeatureExtraction.unused_weights
    vectors = "several"

    def __init__(self, checkpoint: "Checkpoint") -> None:
        self.late = read_late_interaction(checkpoint.config, checkpoint.device)
        super().__init__(checkpoint, self.late.reading)
        as_tokens(self.tokenizer, self.late.prefixes)
        self._skipped = token_ids(self.tokenizer, self.late.skipped_words)
        if self.late.expansion is not None:
            self._expansion_id = expansion_id(self.tokenizer, self.late.expansion, checkpoint.config.model)

    @classmethod
    def claims(cls, config: ModelConfig) -> bool:
        return is_late_interaction(config)

    def about(self) -> Mapping[str, Any]:
        return {"pooling": None}

    def prompt(self, name: str | None) -> str:
        if name is None:
            return ""
        if name not in ("query", "document"):
            raise InvalidInput(f"prompt_name {name!r} should be query or document")
        return self.reading.prompts.get(name, "")

    def split(self, request: Request) -> list[Request]:
        """The source of a comparison is a query, the other sentences are documents."""
        items = super().split(request)
        if not isinstance(request.inputs, Sentences):
            return items
        roles = ["query", *["document"] * len(request.inputs.sentences)]
        return [item.model_copy(update={"prompt_name": role}) for item, role in zip(items, roles, strict=True)]

    def needs_torch(self) -> str:
        return "the layers after the model run in torch"

    def preprocess(self, request: Request) -> Prepared:
        """The context is the positions that count."""
        if not isinstance(request.inputs, str):
            prepared = self.of_ids(request.model_copy(update={"prompt_name": None}))
            (row,) = prepared.rows
            return Prepared([row], self._counted(row, request.prompt_name), truncated=prepared.truncated)
        encoded = self._encode(request)
        row = encoded.row
        if request.prompt_name == "query":
            row = self._expanded(row)
        return Prepared([row], self._counted(row, request.prompt_name), truncated=encoded.truncated)

    def forward(self, rows: Sequence[Row], params: Hashable) -> Sequence[Any]:
        """Per row `[tokens, dim]`."""
        import torch

        batch = self.run(rows)
        with torch.inference_mode():
            vectors = batch.output.last_hidden_state.float()
            for layer in self.late.layers:
                vectors = layer(vectors)
        found = vectors.cpu().numpy()
        return [found[index, :length] for index, length in enumerate(batch.lengths)]

    def postprocess(self, request: Request, prepared: Prepared, outputs: Sequence[Any]) -> Any:
        return outputs[0][prepared.context]

    def joined(self, request: Request, answers: list[Any]) -> Any:
        return answers

    def similarities(self, request: Request, source: Any, others: Sequence[Any]) -> list[float]:
        return max_sim(source, others, is_mean=self.late.is_mean)

    def sized_example(self, words: int) -> Request:
        """Queries as well: they may be filled up with tokens that nothing attends to."""
        return Request(inputs=filler(words), prompt_name="query" if words < 10 else "document")

    def _encode(self, request: Request) -> Encoded:
        length = self.late.lengths.get(request.prompt_name, self.max_length)
        expansion = self.late.expansion if request.prompt_name == "query" else None
        if expansion is not None:
            length = expansion.length if expansion.is_fixed else max(length, expansion.length)
        assert isinstance(request.inputs, str)
        return self.encode_text(request.inputs, request, min(length, self.max_length))

    def _expanded(self, row: Row) -> Row:
        """A query, filled up to the length of the expansion."""
        expansion = self.late.expansion
        if expansion is None or row.length >= min(expansion.length, self.max_length):
            return row
        missing = min(expansion.length, self.max_length) - row.length
        inputs = {
            name: [*values, *[self._expansion_id if name == "input_ids" else 0] * missing]
            for name, values in row.inputs.items()
        }
        return Row(inputs, row.length + missing, attended=None if expansion.attends else row.length)

    def _counted(self, row: Row, role: str) -> list[int]:
        skipped = self._skipped if role in self.late.skipped_in else set()
        return [place for place, token in enumerate(row.inputs["input_ids"]) if token not in skipped]
