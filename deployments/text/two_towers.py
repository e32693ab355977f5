"""TwoTowers, the base of tasks whose model has a tower for texts and one for images or recordings (CLIP, SigLIP, CLAP).

Both towers give vectors of one space. An input is a text or a file, and its row goes through one of the towers.
"""

import re
from abc import abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from pydantic import Field, TypeAdapter, field_validator

from deployments.checkpoints.facts import position_offset
from deployments.checkpoints.files import MODULES
from deployments.checkpoints.load import Checkpoint
from deployments.config import ModelConfig, Pooling
from deployments.contract.pooling import VectorOptions, join_vectors
from deployments.contract.similarity import Sentences, similarity_of
from deployments.contract.task import Body, Prepared, Row
from deployments.errors import InvalidInput, LoadError
from deployments.layouts.task import ForwardTask
from deployments.layouts.text import Alone, Layout, Padded, SameLength
from deployments.layouts.two_towers import TwoTowersLayout, is_text, tower
from deployments.media.content import Media
from deployments.numerics import is_finite
from deployments.text.module_files import ModuleFiles
from deployments.text.task import Side, filler, require_text, tokenized

if TYPE_CHECKING:
    import torch

# No text that people write begins with 64 letters and digits without a space; a line of dashes is a text.
_BASE64 = r"(?=[A-Za-z0-9+/_-]{64})[/_]{0,2}[A-Za-z0-9]"
_FILE = re.compile(rf"https?://\S+\Z|data:[^,;\s]*;[^,]*,|{_BASE64}", re.IGNORECASE)
_MEDIA: TypeAdapter[Media] = TypeAdapter(Media)


class TextInput(Body):
    """A text, whatever it looks like."""

    text: str


def read_input(file: type[Body], field: str) -> Callable[[Any], Any]:
    """A validator of one input. An object with `field` is a file, any other a text; errors are of what was meant.

    A string is a file if it is base64 of at least 64 characters, a data URL, or an http or https URL.
    """

    def read(value: Any) -> Any:
        if isinstance(value, dict):
            return (file if field in value else TextInput).model_validate(value)
        return _MEDIA.validate_python(value) if isinstance(value, str) and _FILE.match(value) else value

    return read


class Request(VectorOptions):
    """The options of all requests; `inputs` is defined by each task."""

    truncate: bool = Field(
        default=True, description="Truncate texts longer than the model's maximum length; if false, reject them."
    )
    truncation_direction: Literal["left", "right", "Left", "Right"] = "right"

    @field_validator("inputs", mode="before", check_fields=False)
    @classmethod
    def _sentences(cls, inputs: Any) -> Any:
        """An object with sentences is these, so that errors are of what was meant."""
        is_compared = isinstance(inputs, dict) and not inputs.keys().isdisjoint(Sentences.model_fields)
        return Sentences.model_validate(inputs) if is_compared else inputs


@dataclass(frozen=True, slots=True)
class TwoTowersProcessor:
    """Image processor or feature extractor, and tokenizer."""

    media: Any
    tokenizer: Any


def _normalizes(config: ModelConfig) -> bool:
    """Whether sentence-transformers wrote the checkpoint with a normalization after the model.

    Raises:
        LoadError: it wrote it with another module after the model.
    """
    _, *after = ModuleFiles(config).kinds or [""]
    if others := sorted(set(after) - {"Normalize"}):
        raise LoadError(f"{config.model}: {MODULES} requires {', '.join(others)} after two towers: not supported")
    return bool(after)


RequestT = TypeVar("RequestT", bound=Request)


class TwoTowers(ForwardTask[RequestT, Any]):
    """One vector per text, image or recording, `[inputs][dim]`, also for a single input.

    The vectors are the model's own (`get_text_features`, `get_image_features`, `get_audio_features`): not normalized
    except where the model does it, as CLAP.

    A subclass also derives from the task of its medium, which prepares the files.

    Class attributes:
        media_features: the model's method for the vectors of files.
        media_tower: the model's attribute that has their tower.
    """

    name = "feature-extraction"
    auto_model = "AutoModel"
    operation = "embeddings"
    response = list[list[float]] | list[float] | list[str]
    example: ClassVar[dict[str, Any]] = {"inputs": "A man plays a guitar."}
    preprocess_threads = 1  # the tokenizer keeps state
    media_features: ClassVar[str]
    media_tower: ClassVar[str]

    def __init__(self, checkpoint: Checkpoint) -> None:
        processor: TwoTowersProcessor = checkpoint.processor
        super().__init__(replace(checkpoint, processor=processor.media))
        self.tokenizer = processor.tokenizer
        configured = checkpoint.config.pooling
        normalize = _normalizes(checkpoint.config) if configured is None else configured.normalize
        self.pooling = Pooling(normalize=normalize)
        model = checkpoint.model
        self.positions: int = model.config.text_config.max_position_embeddings - position_offset(model.text_model)
        limits = (self.positions, self.tokenizer.model_max_length, checkpoint.config.max_length or self.positions)
        self.max_length = min(limits)
        # Trained with a sigmoid for each pair, and on texts padded to the end; transformers' pipeline asks the same.
        self.is_sigmoid = "siglip" in model.config.model_type

    @classmethod
    def load_processor(cls, source: str, revision: str | None) -> TwoTowersProcessor:
        from transformers import AutoTokenizer

        media = super().load_processor(source, revision)
        return TwoTowersProcessor(media, AutoTokenizer.from_pretrained(source, revision=revision))

    if TYPE_CHECKING:  # of the medium's task

        def prepare(self, media: Media) -> Prepared: ...

    @abstractmethod
    def media_cost(self, row: Row) -> int:
        """Positions of a file's row, or as many as take the same time."""

    @abstractmethod
    def media_layouts(self, media: "torch.nn.Module") -> tuple[Layout, Layout]:
        """How files share a forward of their tower, and the layout of one at a time."""

    @abstractmethod
    def scale(self) -> "torch.Tensor":
        """The logarithm of the factor that turns a cosine into a logit."""

    @abstractmethod
    def sample_file(self, words: int) -> Media:
        """A file whose size is in proportion to `words`."""

    def layouts(self) -> Sequence[Layout]:
        model, pad = self.checkpoint.model, self.tokenizer.pad_token_id or 0
        texts = tower(model, "get_text_features", model.text_model)
        stacked, alone = self.media_layouts(tower(model, self.media_features, getattr(model, self.media_tower)))
        together = [TwoTowersLayout(kind(texts, pad), stacked) for kind in (Padded, SameLength)]
        return [*together, TwoTowersLayout(Alone(texts, pad), alone)]

    def needs_torch(self) -> str:
        return "models with two towers are not exported"

    def cost(self, row: Row) -> int:
        """Tokens of a text, positions of a file."""
        return row.length if is_text(row) else self.media_cost(row)

    def about(self) -> Mapping[str, Any]:
        """`similarity`: how cosines become the scores of labels; logits are `scale * cosine + bias`."""
        bias = getattr(self.checkpoint.model, "logit_bias", None)
        return {
            "similarity": {
                "function": "sigmoid" if self.is_sigmoid else "softmax",
                "scale": float(self.scale().detach().exp()),
                "bias": 0.0 if bias is None else float(bias.detach()),
            }
        }

    def preprocess(self, request: RequestT) -> Prepared:
        request.check(None, self.pooling)
        item: Any = request.inputs  # type: ignore[attr-defined]
        if isinstance(item, Media):
            return self._of_file(item)
        if isinstance(item, (str, TextInput)):
            return self._of_text(request, item if isinstance(item, str) else item.text)
        return self._of_file(getattr(item, self.medium))

    def forward(self, rows: Sequence[Row], params: Hashable) -> Sequence[Any]:
        """Per row `[dim]`."""
        return list(self.run(rows).output.float().cpu().numpy())

    def is_usable(self, output: Any) -> bool:
        return is_finite(output)

    def postprocess(self, request: RequestT, prepared: Prepared, outputs: Sequence[Any]) -> Any:
        return request.finish(outputs[0], self.pooling)

    def split(self, request: RequestT) -> list[RequestT]:
        inputs: Any = request.inputs  # type: ignore[attr-defined]
        if isinstance(inputs, Sentences):
            return [request.model_copy(update={"inputs": TextInput(text=text)}) for text in inputs.texts]
        return super().split(request)

    def join(self, request: RequestT, answers: list[Any]) -> Any:
        if isinstance(request.inputs, Sentences):  # type: ignore[attr-defined]
            if request.encoding_format != "float":
                raise InvalidInput("encoding_format: similarities are numbers; leave it out")
            import numpy as np

            return similarity_of("cosine")(answers[0], np.stack(answers[1:]))
        return join_vectors(answers, is_list=request.is_batch, pooled=True)

    def tokens_in(self, prepared: Prepared) -> int:
        return int(prepared.context or 0)

    def tokens_of(self, items: Sequence[tuple[Prepared, Sequence[Any]]]) -> tuple[int, int | None]:
        return sum(self.tokens_in(prepared) for prepared, _ in items), None

    def sized_example(self, words: int) -> RequestT:
        example: RequestT = self.request.model_validate({"inputs": filler(words)})  # type: ignore[assignment]
        return example

    def sized_examples(self, words: int) -> Sequence[RequestT]:
        file: RequestT = self.request.model_validate({"inputs": self.sample_file(words)})  # type: ignore[assignment]
        return [self.sized_example(words), file]

    def _of_file(self, media: Media) -> Prepared:
        prepared = self.prepare(media)
        return replace(prepared, params=(self.medium, prepared.params))

    def _of_text(self, request: RequestT, text: str) -> Prepared:
        require_text(text, "inputs")
        side: Side = "left" if request.truncation_direction in ("left", "Left") else "right"
        encoding, truncated = tokenized(
            self.tokenizer, text, max_length=self.max_length, truncate=request.truncate, side=side
        )
        tokens = len(encoding["input_ids"])
        if self.is_sigmoid:
            encoding = self.tokenizer.pad(encoding, padding="max_length", max_length=self.positions)
        names = set(self.tokenizer.model_input_names) - (set() if self.is_sigmoid else {"attention_mask"})
        inputs = {name: list(value) for name, value in encoding.items() if name in names}
        row = Row(inputs, len(inputs["input_ids"]))
        return Prepared([row], context=tokens, params="text", truncated=truncated)
