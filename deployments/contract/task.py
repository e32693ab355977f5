"""The contract of a task: preprocess, model, postprocess; plain Python without Ray and HTTP.

A request is split into *items* (a list of inputs is a client batch), and each item is preprocessed to *rows*, the unit
of batching: multiple choice has a row per choice, a long text a row per window. Two subclasses define how the model
processes rows: in a single forward (`ForwardTask`), or by generating tokens (`GeneratingTask`).
"""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from deployments.checkpoints.files import Medium
from deployments.checkpoints.load import Checkpoint, load
from deployments.config import ModelConfig
from deployments.errors import InvalidInput
from deployments.media.limits import MediaLimits
from deployments.telemetry.measurements import Pace


class Body(BaseModel):
    """Base of request models: unknown fields and numbers that are not finite are errors; values are not converted."""

    model_config = ConfigDict(extra="forbid", strict=True, protected_namespaces=(), allow_inf_nan=False)


class ClientOptions(Body):
    """What older clients of Hugging Face's API send beside the inputs. Nothing here depends on it."""

    wait_for_model: bool = Field(default=False, description="Without effect: a model is loaded before it is asked.")
    use_cache: bool = Field(default=True, description="Without effect: no answer is cached.")


class RequestBody(Body):
    """A whole request."""

    partial: bool = Field(
        default=False,
        description="For a list of inputs, return an error per failed input instead of failing as a whole.",
    )
    options: ClientOptions = Field(default=ClientOptions(), description="Without effect; some clients send them.")

    @property
    def is_batch(self) -> bool:
        """Whether the request is a client batch, with a list of inputs."""
        return isinstance(getattr(self, "inputs", None), list)


RequestT = TypeVar("RequestT", bound=RequestBody)
ResponseT = TypeVar("ResponseT")

Output = Any  # the output of one row: a numpy array or a small dataclass of arrays, off the device


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One row of a batch.

    Attributes:
        inputs: values of the model's inputs by name, without a batch dimension. Text: lists of ints of equal length
            (`input_ids`, `token_type_ids`); images and audio: numpy arrays.
        length: size of the first dimension that padding would grow: tokens, samples or feature frames.
        gather_positions: token positions whose hidden states the head needs; None for all. With it fill-mask runs its
            large head only on masked positions.
        attended: positions at the start that all positions attend to; None for all. ColBERT's queries may end in tokens
            that attend to the query, and to which nothing attends.
    """

    inputs: Mapping[str, Any]
    length: int
    gather_positions: tuple[int, ...] | None = None
    attended: int | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A preprocessed item.

    Attributes:
        rows: at least one `Row`, or `GenerationRequest` in a generating task.
        context: data for `postprocess`, such as character offsets.
        params: only rows with equal params may share a forward.
        truncated: whether the item was too long for the model and was truncated.
    """

    rows: Sequence[Any]
    context: Any = None
    params: Hashable = None
    truncated: bool = False


class Task(ABC, Generic[RequestT, ResponseT]):
    """Serves one `AutoModel…` class.

    Class attributes:
        name: the task's name in paths and configuration, as on the Hugging Face hub.
        purpose: one sentence on what the task is used for.
        aliases: other names that the gateway accepts.
        auto_model: the transformers class that loads the model.
        auto_models: former names of that class, accepted in configurations.
        auto_processor: the transformers class that loads the tokenizer or processor.
        processor_options: keyword arguments for its `from_pretrained`.
        medium: type of the inputs. Tasks of the same name but different media appear as one task to the caller.
        architectures: endings of a checkpoint's `architectures` entry that identify this task.
        request: pydantic model of the request body.
        response: type of the response, for the schema; responses are not validated.
        event_type: type of a stream event; None if the task does not stream.
        operation: name of the operation in OpenTelemetry's semantic conventions; None if they have none.
        example: a request body for docs, warm-up, contract tests and load tests.
        preprocess_threads: threads that may preprocess and postprocess concurrently; 1 if a tokenizer keeps state.
        unused_weights: prefixes of weights that may be missing because no answer depends on them (an unused pooler).
        imports_torch: whether its replicas need torch even where their model was exported.
        vectors: what a task that embeds texts gives for each: a dense vector, a sparse one, or several dense ones.
    """

    name: ClassVar[str]
    purpose: ClassVar[str] = ""
    aliases: ClassVar[tuple[str, ...]] = ()
    auto_model: ClassVar[str]
    auto_models: ClassVar[tuple[str, ...]] = ()
    auto_processor: ClassVar[str]
    processor_options: ClassVar[Mapping[str, Any]] = {}
    medium: ClassVar[Medium] = "text"
    architectures: ClassVar[tuple[str, ...]]
    request: ClassVar[type[BaseModel]]
    response: ClassVar[Any]
    event_type: ClassVar[Any] = None
    operation: ClassVar[str | None] = None
    example: ClassVar[dict[str, Any]]
    preprocess_threads: ClassVar[int] = 1
    unused_weights: ClassVar[tuple[str, ...]] = ()
    imports_torch: ClassVar[bool] = False
    vectors: ClassVar[Literal["dense", "sparse", "several"]] = "dense"

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.tokenizer: Any = None  # for text inputs or outputs, if any
        self.limits = MediaLimits()  # the replica sets the configured limits

    @classmethod
    def claims(cls, config: ModelConfig) -> bool:
        """Whether a checkpoint's files say that it is for this task, whatever its architecture is named.

        Raises:
            LoadError: they say that it is for something that is not served.
        """
        return False

    @classmethod
    @abstractmethod
    def unbuildable(cls, config: ModelConfig) -> str | None:
        """Why a model of this task is not exported for OpenVINO, as configured; None if that is tried."""

    @classmethod
    def load_checkpoint(cls, config: ModelConfig) -> Checkpoint:
        """Load the checkpoint named in a model's configuration.

        Raises:
            LoadError: not found, not loadable with this class, or weights are missing.
        """
        return load(config, cls.auto_model, cls.load_processor, cls.unused_weights)

    @classmethod
    def load_processor(cls, source: str, revision: str | None) -> Any:
        """Load the tokenizer or processor of a checkpoint; `source` is passed to `from_pretrained`."""
        import transformers

        return getattr(transformers, cls.auto_processor).from_pretrained(
            source, revision=revision, **cls.processor_options
        )

    def about(self) -> Mapping[str, Any]:
        """Task-specific fields in the response to `GET /tasks/<task>`."""
        return {}

    def prompt(self, name: str | None) -> str:
        """The checkpoint's prompt of this name (None: the default prompt), prepended to a text.

        Raises:
            InvalidInput: the checkpoint has no prompt of this name.
        """
        if name is not None:
            raise InvalidInput(f"prompt_name {name!r}: this model has no prompts")
        return ""

    @abstractmethod
    def preprocess(self, request: RequestT) -> Prepared:
        """Turn one item into rows.

        Raises:
            InvalidInput: the item is not a valid input of this task.
        """

    def cost(self, row: Row) -> int:
        """The row's cost towards `max_cost` of a batch: tokens, pixels, or milliseconds of audio."""
        return row.length

    @abstractmethod
    def postprocess(self, request: RequestT, prepared: Prepared, outputs: Sequence[Output]) -> ResponseT:
        """Turn the outputs of one item into its answer: plain data and numpy arrays."""

    @abstractmethod
    def sized_example(self, words: int) -> RequestT:
        """An example request of about `words` words, or with an image or a recording of proportional size.

        Used by the check at load, the warm-up and the load tests.
        """

    def sized_examples(self, words: int) -> Sequence[RequestT]:
        """An example of each kind of input that takes a way of its own through the model."""
        return [self.sized_example(words)]

    def split(self, request: RequestT) -> list[RequestT]:
        """Split a request into items: one per input of a client batch, else one."""
        if not request.is_batch:
            return [request]
        return [request.model_copy(update={"inputs": item}) for item in request.inputs]  # type: ignore[attr-defined]

    def tokens_in(self, prepared: Prepared) -> int:
        """Input tokens of one item; 0 if the task has no tokens."""
        return 0

    def tokens_of(self, items: Sequence[tuple[Prepared, Sequence[Output]]]) -> tuple[int, int | None] | None:
        """Prompt and completion tokens of all items of a request; None if the task has no tokens."""
        return None

    def pace_of(self, items: Sequence[tuple[Prepared, Sequence[Output]]]) -> Pace | None:
        """Generation speed over all items of a request; None if the task does not generate tokens."""
        return None

    def join(self, request: RequestT, answers: list[ResponseT]) -> Any:
        """Combine the answers of the items into the response."""
        return answers if request.is_batch else answers[0]
