"""feature-extraction: hidden states, or one vector per text if pooling is configured (`AutoModel`)."""

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import Field

from deployments.checkpoints import load
from deployments.checkpoints.files import read_config
from deployments.config import ModelConfig, Pooling, PoolingMode
from deployments.contract.pooling import VectorOptions, join_vectors, pool
from deployments.contract.task import Prepared, Row
from deployments.errors import InvalidInput
from deployments.numerics import is_finite
from deployments.text.sentence_transformers import is_embedding_model, lower_cased, read_embedding
from deployments.text.task import Side, TextTask, filler, require_text
from deployments.text.tokens import TokenIds, are_ids, require_known

if TYPE_CHECKING:
    from deployments.checkpoints.load import Checkpoint


class Request(VectorOptions):
    inputs: str | list[str] | TokenIds | list[TokenIds] = Field(
        description="A text or a list of texts. A text may be given as token ids, special tokens included."
    )
    pooling: PoolingMode | None = Field(
        default=None,
        description="Overrides the checkpoint's pooling; `none`: hidden states, a vector per token, not normalized.",
    )
    truncate: bool = Field(
        default=True, description="Truncate texts longer than the model's maximum length; if false, reject them."
    )
    truncation_direction: Literal["left", "right", "Left", "Right"] = "right"
    prompt_name: str | None = Field(default=None, description="Name of a prompt of the checkpoint to prepend.")

    @property
    def is_batch(self) -> bool:
        """Whether inputs is a list of texts or of lists of ids; a list of numbers is the ids of one text."""
        return isinstance(self.inputs, list) and not are_ids(self.inputs)


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


class FeatureExtraction(TextTask[Request, Any]):
    """With pooling `[inputs][dim]`, also for a single text; without, `[tokens][dim]` per input."""

    name = "feature-extraction"
    purpose = (
        "Compute vectors for search, clustering, deduplication and recommendations; similar meaning, similar vector."
    )
    aliases = ("embeddings", "sentence-embeddings", "sentence-similarity")
    auto_model = "AutoModel"
    operation = "embeddings"
    architectures = ("Model", "BertGenerationEncoder")
    request = Request
    response = list[list[float]] | list[list[list[float]]] | list[str] | str
    example = {"inputs": "A man plays a guitar."}
    unused_weights = ("pooler",)

    def __init__(self, checkpoint: "Checkpoint") -> None:
        super().__init__(checkpoint)
        self.embedding = read_embedding(checkpoint.config, checkpoint.device)
        if self.embedding.lower_case:
            lower_cased(self.tokenizer)
        self._prompt_tokens: dict[str, int] = {}
        if self.embedding.max_length and not checkpoint.config.max_length:
            self.max_length = min(self.max_length, self.embedding.max_length)

    @classmethod
    def claims(cls, config: ModelConfig) -> bool:
        return is_embedding_model(config)

    @classmethod
    def load_checkpoint(cls, config: ModelConfig) -> "Checkpoint":
        auto_model = "AutoModelForTextEncoding" if _has_decoder(config) else cls.auto_model
        return load.load(config, auto_model, cls.load_processor, cls.unused_weights)

    def preprocess(self, request: Request) -> Prepared:
        pooling = self._pooling(request)
        request.check(self._width(pooling), pooling)
        side: Side = "left" if request.truncation_direction in ("left", "Left") else "right"
        if not isinstance(request.inputs, str):
            return self._of_ids(request, side, _Pooled.by(pooling))
        require_text(request.inputs, "inputs")
        prompt = self.prompt(request.prompt_name)
        encoded = self.encode(prompt + request.inputs, truncate=request.truncate, side=side)
        skip = 0 if self.embedding.includes_prompt else self._tokens_of_prompt(prompt)
        return Prepared([encoded.row], params=_Pooled.by(pooling, skip), truncated=encoded.truncated)

    def forward(self, rows: Sequence[Row], params: Hashable) -> Sequence[Any]:
        """Per row `[dim]` if `params` has pooling modes, else `[tokens, dim]`."""
        batch = self.run(rows)
        hidden = batch.output.last_hidden_state
        if not isinstance(params, _Pooled):
            states = hidden.float().cpu().numpy()
            return [states[i, :length] for i, length in enumerate(batch.lengths)]
        vectors = pool(hidden, batch.lengths, params.modes, params.skip).float()
        for layer in self.embedding.layers:
            vectors = layer(vectors)
        return list(vectors.cpu().numpy())

    def is_usable(self, output: Any) -> bool:
        return is_finite(output)

    def postprocess(self, request: Request, prepared: Prepared, outputs: Sequence[Any]) -> Any:
        return request.finish(outputs[0], self._pooling(request))

    def join(self, request: Request, answers: list[Any]) -> Any:
        return join_vectors(answers, is_list=request.is_batch, pooled=self._pooling(request) is not None)

    def sized_example(self, words: int) -> Request:
        return Request(inputs=filler(words))

    def about(self) -> Mapping[str, Any]:
        pooling = self.embedding.pooling
        return {"pooling": None if pooling is None else pooling.model_dump()}

    def prompt(self, name: str | None) -> str:
        name = name or self.embedding.default_prompt
        if name is None:
            return ""
        if name not in self.embedding.prompts:
            known = ", ".join(sorted(self.embedding.prompts)) or "none"
            raise InvalidInput(f"prompt_name {name!r} is not one of the checkpoint's prompts ({known})")
        return self.embedding.prompts[name]

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

    def _of_ids(self, request: Request, side: Side, params: Hashable) -> Prepared:
        """A row from the token ids of a text, truncated to `max_length` if allowed."""
        ids: Any = request.inputs
        if request.prompt_name is not None:
            raise InvalidInput("prompt_name: a prompt can only be prepended to a text; inputs are token ids")
        require_known(ids, self.checkpoint.model.get_input_embeddings().num_embeddings)
        truncated = len(ids) > self.max_length
        if truncated and not request.truncate:
            raise InvalidInput(f"inputs has {len(ids)} tokens; the model reads at most {self.max_length}")
        ids = ids[-self.max_length :] if side == "left" else ids[: self.max_length]
        inputs = {name: ids if name == "input_ids" else [0] * len(ids) for name in self.input_names}
        return Prepared([Row(inputs, len(ids))], params=params, truncated=truncated)
