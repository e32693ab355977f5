"""feature-extraction: hidden states, or one vector per text where the checkpoint says how to pool (`AutoModel`)."""

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from deployments.errors import InvalidInput
from deployments.pooling import pool, read_embedding
from deployments.task import Prepared, Row
from deployments.text import TextTask, filler, require_text
from deployments.vectors import VectorOptions, join_vectors

if TYPE_CHECKING:
    from deployments.checkpoint import Checkpoint


class Request(VectorOptions):
    inputs: str | list[str] = Field(description="A text or a list of texts.")
    truncate: bool = Field(default=True, description="Cut a text that is longer than the model reads.")
    truncation_direction: Literal["left", "right", "Left", "Right"] = "right"
    prompt_name: str | None = Field(default=None, description="A prompt of the checkpoint to put in front.")


class FeatureExtraction(TextTask[Request, Any]):
    """Pooled: `[inputs][dim]`, one vector per input, also for a single text. Otherwise `[tokens][dim]` per input."""

    name = "feature-extraction"
    aliases = ("embeddings", "sentence-embeddings")
    auto_model = "AutoModel"
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
        assert isinstance(request.inputs, str)
        request.check(getattr(self.checkpoint.model.config, "hidden_size", None), self.embedding.pooling)
        require_text(request.inputs, "inputs")
        side: Literal["left", "right"] = "left" if request.truncation_direction in ("left", "Left") else "right"
        encoded = self.encode(self._prompt(request) + request.inputs, truncate=request.truncate, side=side)
        return Prepared([encoded.row], truncated=encoded.truncated)

    def forward(self, rows: Sequence[Row], params: Hashable) -> Sequence[Any]:
        """Per row: `[dim]` where the checkpoint pools, else `[tokens, dim]`."""
        laid = self.run(rows)
        hidden = laid.output.last_hidden_state
        pooling = self.embedding.pooling
        if pooling is not None:
            return list(pool(hidden, laid.lengths, pooling.mode).float().cpu().numpy())
        states = hidden.float().cpu().numpy()
        return [states[i, :length] for i, length in enumerate(laid.lengths)]

    def postprocess(self, request: Request, prepared: Prepared, outputs: Sequence[Any]) -> Any:
        return request.finish(outputs[0], self.embedding.pooling)

    def join(self, request: Request, answers: list[Any]) -> Any:
        pooled = self.embedding.pooling is not None
        return join_vectors(answers, is_list=isinstance(request.inputs, list), pooled=pooled)

    def sized_example(self, words: int) -> Request:
        return Request(inputs=filler(words))

    def _prompt(self, request: Request) -> str:
        name = request.prompt_name or self.embedding.default_prompt
        if name is None:
            return ""
        if name not in self.embedding.prompts:
            known = ", ".join(sorted(self.embedding.prompts)) or "none"
            raise InvalidInput(f"prompt_name {name!r} is not one of the checkpoint's prompts ({known})")
        return self.embedding.prompts[name]
