"""feature-extraction: hidden states, or one vector per text if pooling is configured (`AutoModel`)."""

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from deployments.config import Pooling, PoolingMode
from deployments.contract.pooling import VectorOptions, join_vectors, pool, read_embedding
from deployments.contract.task import Prepared, Row
from deployments.errors import InvalidInput
from deployments.numerics import is_finite
from deployments.text.task import Side, TextTask, filler, require_text
from deployments.text.tokens import TokenIds, are_ids, require_known

if TYPE_CHECKING:
    from deployments.checkpoint import Checkpoint


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


class FeatureExtraction(TextTask[Request, Any]):
    """With pooling `[inputs][dim]`, also for a single text; without, `[tokens][dim]` per input."""

    name = "feature-extraction"
    purpose = (
        "Compute vectors for search, clustering, deduplication and recommendations; similar meaning, similar vector."
    )
    aliases = ("embeddings", "sentence-embeddings", "sentence-similarity")
    auto_model = "AutoModel"
    operation = "embeddings"
    architectures = ("Model",)
    request = Request
    response = list[list[float]] | list[list[list[float]]] | list[str] | str
    example = {"inputs": "A man plays a guitar."}
    unused_weights = ("pooler",)

    def __init__(self, checkpoint: "Checkpoint") -> None:
        super().__init__(checkpoint)
        self.embedding = read_embedding(checkpoint)
        if self.embedding.max_length and not checkpoint.config.max_length:
            self.max_length = min(self.max_length, self.embedding.max_length)

    def preprocess(self, request: Request) -> Prepared:
        pooling = self._pooling(request)
        request.check(getattr(self.checkpoint.model.config, "hidden_size", None), pooling)
        side: Side = "left" if request.truncation_direction in ("left", "Left") else "right"
        mode = None if pooling is None else pooling.mode
        if not isinstance(request.inputs, str):
            return self._of_ids(request, side, mode)
        require_text(request.inputs, "inputs")
        text = self.prompt(request.prompt_name) + request.inputs
        encoded = self.encode(text, truncate=request.truncate, side=side)
        return Prepared([encoded.row], params=mode, truncated=encoded.truncated)

    def forward(self, rows: Sequence[Row], params: Hashable) -> Sequence[Any]:
        """Per row `[dim]` if `params` is a pooling mode, else `[tokens, dim]`."""
        batch = self.run(rows)
        hidden = batch.output.last_hidden_state
        if isinstance(params, str):
            return list(pool(hidden, batch.lengths, params).float().cpu().numpy())
        states = hidden.float().cpu().numpy()
        return [states[i, :length] for i, length in enumerate(batch.lengths)]

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
        return None if mode == "none" else Pooling(mode=mode, normalize=own is not None and own.normalize)

    def _of_ids(self, request: Request, side: Side, mode: str | None) -> Prepared:
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
        return Prepared([Row(inputs, len(ids))], params=mode, truncated=truncated)
