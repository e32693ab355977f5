"""The contract of a task: preprocess -> model -> postprocess, in plain Python. No Ray, no HTTP.

A request is split into *items* (a list of inputs is a client batch), an item becomes *rows*, and rows, not requests,
go through the model: multiple choice is a row per choice, a long text a row per window. How rows go through the model
is the business of two kinds of tasks: one forward answers them (`ForwardTask`), or the model writes its answer token by
token (`GeneratingTask`).
"""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from deployments import checkpoint as checkpoints
from deployments.checkpoint import Checkpoint, Medium
from deployments.config import ModelConfig
from deployments.errors import InvalidInput
from deployments.media.limits import MediaLimits
from deployments.telemetry.measurements import Pace


class Body(BaseModel):
    """Unknown fields are errors, and nothing is silently converted."""

    model_config = ConfigDict(extra="forbid", strict=True, protected_namespaces=())


class RequestBody(Body):
    """A whole request."""

    partial: bool = Field(
        default=False, description="Of a list of inputs, answer those that can be, and say of each other what is wrong."
    )

    @property
    def is_batch(self) -> bool:
        """Whether it has a list of inputs, a client batch."""
        return isinstance(getattr(self, "inputs", None), list)


RequestT = TypeVar("RequestT", bound=RequestBody)
ResponseT = TypeVar("ResponseT")

Output = Any  # what one row gives: a numpy array or a small dataclass of them, off the device


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """What the model reads once.

    Attributes:
        inputs: the model's input names to this row's values, without a batch dimension. For text: equally long lists
            of ints (`input_ids`, `token_type_ids`); for pictures and sound: numpy arrays.
        length: tokens of a text, samples or feature frames of a recording: the first dimension that padding would grow.
        keep: token positions whose hidden states the head needs; None for all. Lets fill-mask run its large head on
            the blanks alone.
    """

    inputs: Mapping[str, Any]
    length: int
    keep: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """One item, ready for the model.

    Attributes:
        rows: at least one `Row`, or `Ask` where the model writes.
        context: what `postprocess` wants back, such as character offsets.
        params: only rows with equal params may share a forward.
        truncated: the item was longer than the model reads, and was cut.
    """

    rows: Sequence[Any]
    context: Any = None
    params: Hashable = None
    truncated: bool = False


class Task(ABC, Generic[RequestT, ResponseT]):
    """One `AutoModel…` class, as a service.

    Class attributes:
        name: the task's name in paths and configuration, as the Hugging Face hub calls it.
        purpose: what people use it for; a sentence for those who look for a task.
        aliases: other names that the gateway understands.
        auto_model: the transformers class that loads it.
        auto_models: what that class was called before; understood in configurations.
        auto_processor: the transformers class that loads its tokenizer or processor.
        processor_options: what that class's `from_pretrained` takes beside the checkpoint.
        medium: what it reads. Tasks of one name and several media are one to the caller.
        architectures: endings of a checkpoint's `architectures` entry that mean this task.
        request: pydantic model of the body.
        response: type of the answer (for the schema; answers are not validated on the way out).
        event_type: type of an event of its stream; None where nothing is streamed.
        operation: what OpenTelemetry's conventions call it in a trace; None for those that it has no word for.
        example: a request body; feeds docs, warm-up, contract tests and load tests.
        preprocess_threads: threads that may preprocess and postprocess at once; one where a tokenizer keeps state.
        unused_weights: prefixes of weights whose absence does not change an answer (a pooler that nobody reads).
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

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.tokenizer: Any = None  # of the text that it reads or writes, where there is any
        self.limits = MediaLimits()  # the replica sets the service's

    @classmethod
    def load_checkpoint(cls, config: ModelConfig) -> Checkpoint:
        """Load the checkpoint that a model's configuration names.

        Raises:
            LoadError: not found, not loadable as this class, or with weights missing.
        """
        return checkpoints.load(config, cls.auto_model, cls.load_processor, cls.unused_weights)

    @classmethod
    def load_processor(cls, source: str, revision: str | None) -> Any:
        """The tokenizer or processor of a checkpoint; `source` is what `from_pretrained` takes."""
        import transformers

        return getattr(transformers, cls.auto_processor).from_pretrained(
            source, revision=revision, **cls.processor_options
        )

    def about(self) -> Mapping[str, Any]:
        """What is told of this model beside what is told of all, in the answer to `GET /tasks/<task>`."""
        return {}

    def prompt(self, name: str | None) -> str:
        """What the checkpoint puts in front of a text: the prompt of this name, or its default one.

        Raises:
            InvalidInput: it has none of this name.
        """
        if name is not None:
            raise InvalidInput(f"prompt_name {name!r}: this model has no prompts")
        return ""

    @abstractmethod
    def preprocess(self, request: RequestT) -> Prepared:
        """Turn one item into rows.

        Raises:
            InvalidInput: the item cannot be an input of this task.
        """

    def cost(self, row: Row) -> int:
        """What the batch budget counts: tokens, pixels, or milliseconds of sound."""
        return row.length

    @abstractmethod
    def postprocess(self, request: RequestT, prepared: Prepared, outputs: Sequence[Output]) -> ResponseT:
        """Turn one item's outputs into its answer (plain data, numpy arrays allowed)."""

    @abstractmethod
    def sized_example(self, words: int) -> RequestT:
        """An example request of about `words` words, or with a picture as large or a recording as long in proportion.

        The check at load, the warm-up and the load tests measure with it.
        """

    def split(self, request: RequestT) -> list[RequestT]:
        """The items of a request: one, or one per input of a client batch."""
        if not request.is_batch:
            return [request]
        return [request.model_copy(update={"inputs": item}) for item in request.inputs]  # type: ignore[attr-defined]

    def tokens_in(self, prepared: Prepared) -> int:
        """Tokens that the model reads of one item; 0 where it reads none."""
        return 0

    def tokens_of(self, items: Sequence[tuple[Prepared, Sequence[Output]]]) -> tuple[int, int | None] | None:
        """Tokens read and written over all items of a request; None where there are none."""
        return None

    def pace_of(self, items: Sequence[tuple[Prepared, Sequence[Output]]]) -> Pace | None:
        """How fast the items of a request were written; None where nothing is written token by token."""
        return None

    def join(self, request: RequestT, answers: list[ResponseT]) -> Any:
        """The answer of a request from its items' answers."""
        return answers if request.is_batch else answers[0]
