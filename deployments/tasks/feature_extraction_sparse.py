"""feature-extraction by SPLADE: a sparse vector per text, over the vocabulary (`AutoModelForMaskedLM`)."""

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from deployments.config import ModelConfig
from deployments.contract.similarity import similarity_of
from deployments.contract.task import Prepared, Row
from deployments.tasks.feature_extraction import FeatureExtraction
from deployments.text.embedder import TextEmbedder, TextInputs
from deployments.text.splade import MODE, is_splade, read_splade, sparse_vectors, take_decoder
from deployments.text.task import filler

if TYPE_CHECKING:
    from deployments.checkpoints.load import Checkpoint


class SparseValue(BaseModel):
    """An entry of a vector: a token of the vocabulary, and its weight."""

    index: int
    value: float


class SparseFeatureExtraction(TextEmbedder[TextInputs, Any]):
    """The entries of each text's vector that are not zero, by index; always a list per input.

    For sentences, the similarity of each to the source.
    """

    name = FeatureExtraction.name
    purpose = FeatureExtraction.purpose
    aliases = FeatureExtraction.aliases
    auto_model = "AutoModelForMaskedLM"
    architectures = ()
    request = TextInputs
    response = list[list[SparseValue]] | list[float]
    example = FeatureExtraction.example
    vectors = "sparse"

    def __init__(self, checkpoint: "Checkpoint") -> None:
        self.splade = read_splade(checkpoint.config)
        super().__init__(checkpoint, self.splade.reading)
        self._similarity = similarity_of(self.reading.similarity or "dot")
        self._decode, self.width = take_decoder(checkpoint.model, self.tokenizer("the river")["input_ids"])

    @classmethod
    def claims(cls, config: ModelConfig) -> bool:
        return is_splade(config)

    def about(self) -> Mapping[str, Any]:
        return {"pooling": {"mode": MODE}}

    def needs_torch(self) -> str:
        return "its sparse vectors are computed from hidden states in torch"

    def preprocess(self, request: TextInputs) -> Prepared:
        if not isinstance(request.inputs, str):
            return self.of_ids(request)
        encoded = self.encode_text(request.inputs, request)
        return Prepared([encoded.row], truncated=encoded.truncated)

    def forward(self, rows: Sequence[Row], params: Hashable) -> Sequence[Any]:
        """Per row `[vocabulary]`."""
        import torch

        batch = self.run(rows)
        with torch.inference_mode():
            vectors = sparse_vectors(batch.output.logits, batch.lengths, self._decode, self.width, self.splade)
        return list(vectors.cpu().numpy())

    def postprocess(self, request: TextInputs, prepared: Prepared, outputs: Sequence[Any]) -> Any:
        import numpy as np

        (vector,) = outputs
        indices = np.flatnonzero(vector)
        most = self.splade.max_active_dims
        if most is not None and most < len(indices):
            indices = np.sort(indices[np.argsort(-vector[indices], kind="stable")[:most]])
        return [
            {"index": index, "value": value} for index, value in zip(indices.tolist(), vector[indices], strict=True)
        ]

    def joined(self, request: TextInputs, answers: list[Any]) -> Any:
        return answers

    def similarities(self, request: TextInputs, source: Any, others: Sequence[Any]) -> Any:
        import numpy as np

        vectors = np.zeros((1 + len(others), self.width), np.float32)
        for vector, entries in zip(vectors, [source, *others], strict=True):
            vector[[entry["index"] for entry in entries]] = [entry["value"] for entry in entries]
        return self._similarity(vectors[0], vectors[1:])

    def sized_example(self, words: int) -> TextInputs:
        return TextInputs(inputs=filler(words))
