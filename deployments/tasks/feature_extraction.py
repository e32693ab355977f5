"""feature-extraction: hidden states, or one vector per text if pooling is configured (`AutoModel`)."""

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import Field

from deployments.checkpoints.files import read_config
from deployments.checkpoints.load import load
from deployments.config import ModelConfig, Pooling, PoolingMode
from deployments.contract.pooling import VectorOptions, join_vectors, pool
from deployments.contract.similarity import similarity_of
from deployments.contract.task import Prepared, Row
from deployments.errors import InvalidInput
from deployments.numerics import as_float32
from deployments.text.embedder import TextEmbedder, TextInputs
from deployments.text.sentence_transformers import is_embedding_model, read_embedding
from deployments.text.task import filler

if TYPE_CHECKING:
    from deployments.checkpoints.load import Checkpoint


class Request(VectorOptions, TextInputs):
    pooling: PoolingMode | None = Field(
        default=None,
        description="Overrides the checkpoint's pooling; `none`: hidden states, a vector per token, not normalized.",
    )


def _has_decoder(config: ModelConfig) -> bool:
    """Whether the family's model has a decoder, as T5's, and transformers its encoder as a model of its own."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES

    family: str = read_config(config.model, config.revision).get("model_type", "")
    encoder: str = MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES.get(family, "")
    return encoder.endswith("EncoderModel")


class _Pooled(NamedTuple):
    """How the rows of a batch are pooled."""

    modes: tuple[str, ...]
    skip: int

    @classmethod
    def by(cls, pooling: Pooling | None, skip: int = 0) -> "_Pooled | None":
        return None if pooling is None else cls(pooling.modes, skip)


class FeatureExtraction(TextEmbedder[Request, Any]):
    """With pooling `[inputs][dim]`, also for a single text; without, `[tokens][dim]` per input.

    For sentences, the similarity of each to the source.
    """

    name = "feature-extraction"
    purpose = (
        "Compute vectors for search, clustering, deduplication and recommendations; similar meaning, similar vector."
    )
    aliases = ("embeddings", "sentence-embeddings", "sentence-similarity")
    auto_model = "AutoModel"
    architectures = ("Model", "BertGenerationEncoder")
    request = Request
    response = list[list[float]] | list[list[list[float]]] | list[float] | list[str] | str
    example = {"inputs": "A man plays a guitar."}
    outputs = ("last_hidden_state",)
    unused_weights = ("pooler",)

    def __init__(self, checkpoint: "Checkpoint") -> None:
        self.embedding = read_embedding(checkpoint.config, checkpoint.device)
        super().__init__(checkpoint, self.embedding.reading)
        self._similarity = similarity_of(self.embedding.reading.similarity or "cosine")
        self._prompt_tokens: dict[str, int] = {}

    @classmethod
    def claims(cls, config: ModelConfig) -> bool:
        return is_embedding_model(config)

    @classmethod
    def load_checkpoint(cls, config: ModelConfig) -> "Checkpoint":
        auto_model = "AutoModelForTextEncoding" if _has_decoder(config) else cls.auto_model
        return load(config, auto_model, cls.load_processor, cls.unused_weights)

    def needs_torch(self) -> str:
        return "the layers after its pooling run in torch" if self.embedding.layers else ""

    def preprocess(self, request: Request) -> Prepared:
        pooling = self._pooling(request)
        request.check(self._width(pooling), pooling)
        if not isinstance(request.inputs, str):
            return self.of_ids(request, _Pooled.by(pooling))
        encoded = self.encode_text(request.inputs, request)
        skip = 0 if self.embedding.includes_prompt else self._tokens_of_prompt(self.prompt(request.prompt_name))
        return Prepared([encoded.row], params=_Pooled.by(pooling, skip), truncated=encoded.truncated)

    def forward(self, rows: Sequence[Row], params: Hashable) -> Sequence[Any]:
        """Per row `[dim]` if `params` has pooling modes, else `[tokens, dim]`."""
        batch = self.run(rows)
        hidden = batch.output.last_hidden_state
        if not isinstance(params, _Pooled):
            states = as_float32(hidden)
            return [states[i, :length] for i, length in enumerate(batch.lengths)]
        vectors = pool(hidden, batch.lengths, params.modes, params.skip)
        for layer in self.embedding.layers:
            vectors = layer(vectors.float())
        return list(as_float32(vectors))

    def postprocess(self, request: Request, prepared: Prepared, outputs: Sequence[Any]) -> Any:
        return request.finish(outputs[0], self._pooling(request))

    def similarities(self, request: Request, source: Any, others: Sequence[Any]) -> Any:
        if self._pooling(request) is None:
            raise InvalidInput(
                "inputs: similarity needs one vector per text; set `pooling` in the model's configuration"
            )
        if request.encoding_format != "float":
            raise InvalidInput("encoding_format: similarities are numbers; leave it out")
        import numpy as np

        return self._similarity(source, np.stack(others))

    def joined(self, request: Request, answers: list[Any]) -> Any:
        return join_vectors(answers, is_list=request.is_batch, pooled=self._pooling(request) is not None)

    def sized_example(self, words: int) -> Request:
        return Request(inputs=filler(words))

    def about(self) -> Mapping[str, Any]:
        pooling = self.embedding.pooling
        return {"pooling": None if pooling is None else pooling.model_dump()}

    def _pooling(self, request: Request) -> Pooling | None:
        """The pooling for a request; None returns hidden states."""
        own, mode = self.embedding.pooling, request.pooling
        if mode is None:
            return own
        if mode != "none" and self.embedding.layers:
            raise InvalidInput(
                "pooling: the checkpoint's layers after its pooling take no other; only none is possible"
            )
        return None if mode == "none" else Pooling(mode=mode, normalize=own is not None and own.normalize)

    def _width(self, pooling: Pooling | None) -> int | None:
        """Of a vector; None if only the model's output tells."""
        width: int | None = getattr(self.checkpoint.model.config, "hidden_size", None)
        return None if width is None or pooling is None or self.embedding.layers else width * len(pooling.modes)

    def _tokens_of_prompt(self, prompt: str) -> int:
        """Positions of a prompt, with the special tokens before it and without those behind it."""
        if not prompt:
            return 0
        if prompt not in self._prompt_tokens:
            ids = self.tokenizer(prompt)["input_ids"]
            self._prompt_tokens[prompt] = len(ids) - (ids[-1] in self.tokenizer.all_special_ids)
        return self._prompt_tokens[prompt]
