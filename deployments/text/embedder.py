"""TextEmbedder: what tasks that turn texts into vectors share: prompts, texts as token ids, truncation."""

from abc import abstractmethod
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import Field

from deployments.contract.similarity import Sentences
from deployments.contract.task import Prepared, RequestBody, ResponseT, Row
from deployments.errors import InvalidInput
from deployments.numerics import is_finite
from deployments.text.sentence_transformers import Reading, lower_cased
from deployments.text.task import Encoded, Side, TextTask, require_text
from deployments.text.tokens import TokenIds, are_ids, require_known

if TYPE_CHECKING:
    from deployments.checkpoints.load import Checkpoint


class TextInputs(RequestBody):
    """Texts, and how they are read."""

    inputs: str | list[str] | TokenIds | list[TokenIds] | Sentences = Field(
        description="A text or a list of texts. A text may be given as token ids, special tokens included. For "
        "`source_sentence` and `sentences`, the answer is the similarity of each sentence to the source."
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

    @property
    def side(self) -> Side:
        """Where a long text is cut."""
        return "left" if self.truncation_direction in ("left", "Left") else "right"


InputsT = TypeVar("InputsT", bound=TextInputs)


class TextEmbedder(TextTask[InputsT, ResponseT]):
    """A task whose items are texts, or their token ids, with a prompt of the checkpoint before them."""

    operation = "embeddings"

    def __init__(self, checkpoint: "Checkpoint", reading: Reading) -> None:
        super().__init__(checkpoint)
        self.reading = reading
        if reading.lower_case:
            lower_cased(self.tokenizer)
        if reading.max_length and not checkpoint.config.max_length:
            self.max_length = min(self.max_length, reading.max_length)

    @abstractmethod
    def joined(self, request: InputsT, answers: list[Any]) -> Any:
        """The response to texts, from the answer to each."""

    @abstractmethod
    def similarities(self, request: InputsT, source: Any, others: Sequence[Any]) -> Any:
        """The similarity of each of the others to the source, from their answers.

        Raises:
            InvalidInput: the answers asked for cannot be compared.
        """

    def split(self, request: InputsT) -> list[InputsT]:
        if isinstance(request.inputs, Sentences):
            return [request.model_copy(update={"inputs": text}) for text in request.inputs.texts]
        return super().split(request)

    def join(self, request: InputsT, answers: list[Any]) -> Any:
        if isinstance(request.inputs, Sentences):
            return self.similarities(request, answers[0], answers[1:])
        return self.joined(request, answers)

    def is_usable(self, output: Any) -> bool:
        return is_finite(output)

    def prompt(self, name: str | None) -> str:
        name = name or self.reading.default_prompt
        if name is None:
            return ""
        if name not in self.reading.prompts:
            known = ", ".join(sorted(self.reading.prompts)) or "none"
            raise InvalidInput(f"prompt_name {name!r} is not one of the checkpoint's prompts ({known})")
        return self.reading.prompts[name]

    def encode_text(self, text: str, request: InputsT, max_length: int | None = None) -> Encoded:
        """The tokens of a text with its prompt, at most `max_length`.

        Raises:
            InvalidInput: see `encode`; or there is no such prompt.
        """
        require_text(text, "inputs")
        prompted = self.prompt(request.prompt_name) + text
        return self.encode(prompted, truncate=request.truncate, side=request.side, max_length=max_length)

    def of_ids(self, request: InputsT, params: Hashable = None) -> Prepared:
        """A row from the token ids of a text, truncated to `max_length` if allowed.

        Raises:
            InvalidInput: an id is not in the vocabulary, there are too many, or a prompt is named.
        """
        ids: Any = request.inputs
        if request.prompt_name is not None:
            raise InvalidInput("prompt_name: a prompt can only be prepended to a text; inputs are token ids")
        require_known(ids, self.embeddings)
        truncated = len(ids) > self.max_length
        if truncated and not request.truncate:
            raise InvalidInput(f"inputs has {len(ids)} tokens; the model reads at most {self.max_length}")
        ids = ids[-self.max_length :] if request.side == "left" else ids[: self.max_length]
        inputs = {name: ids if name == "input_ids" else [0] * len(ids) for name in self.input_names}
        return Prepared([Row(inputs, len(ids))], params=params, truncated=truncated)
