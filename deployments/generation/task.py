"""GeneratingTask: a task whose model generates its answer token by token."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from deployments.checkpoints.facts import ExportedModel
from deployments.checkpoints.load import Checkpoint
from deployments.config import ModelConfig
from deployments.contract.task import Prepared, RequestT, ResponseT, Task
from deployments.generation.grammar import Grammars
from deployments.generation.in_flight.families import max_positions_of
from deployments.generation.parameters import GenerationParameters
from deployments.generation.request import Completion, GenerationRequest, StreamedToken
from deployments.generation.tgi import Event, Vocabulary, best
from deployments.telemetry.measurements import Pace

if TYPE_CHECKING:
    from deployments.generation.paged_attention.graph import PagedGraph


class GeneratingTask(Task[RequestT, ResponseT]):
    """Rows are prompts (`GenerationRequest`), outputs are `Completion`s.

    Class attributes:
        is_decoder_only: prompts are tokens alone, and no encoder reads anything.

    Attributes:
        model: the module that generates, as `called_model` returns it; or what stands for it where it was exported.
        graph: the exported model; None where torch computes.
        tokenizer: of its text; its truncation is never set, so any thread may use it.
        vocabulary: formats its tokens for answers.
        defaults: the checkpoint's `GenerationConfig`.
        max_positions: tokens that the decoder has positions for, prompt included; None if there is no limit.
        is_continuation: the text continues the prompt, as with a decoder-only model.
    """

    event_type = Event
    imports_torch = True  # the sampler's
    is_decoder_only: ClassVar[bool] = False

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint)
        self.model = self.called_model(checkpoint.model)
        self.graph: PagedGraph | None = None
        self.tokenizer: Any = self.tokenizer_of(checkpoint)
        self.vocabulary = Vocabulary(self.tokenizer)
        self.defaults = checkpoint.model.generation_config
        self.max_positions = max_positions_of(self.model.config)
        self.is_continuation = not self.model.config.is_encoder_decoder

    @classmethod
    def unbuildable(cls, config: ModelConfig) -> str | None:
        if not cls.is_decoder_only:
            return "only decoders of text are exported"
        if (engine := config.generation.engine) in ("static", "paged"):
            return f"generation.engine is {engine}"
        if config.calibration is not None:
            return "the weights of a decoder are compressed without calibration; remove `calibration`"
        return None

    def called_model(self, model: Any) -> Any:
        """The module that takes prompts and returns logits; the checkpoint's model unless a task wraps it."""
        return model

    def tokenizer_of(self, checkpoint: Checkpoint) -> Any:
        """The tokenizer of the generated text."""
        return getattr(checkpoint.processor, "tokenizer", checkpoint.processor)

    @cached_property
    def grammars(self) -> Grammars:
        """Compiles the grammars of requests."""
        size = self.model.config.get_text_config(decoder=True).vocab_size
        ends = self.defaults.eos_token_id if self.defaults.eos_token_id is not None else self.tokenizer.eos_token_id
        ids = [] if ends is None else [ends] if isinstance(ends, int) else list(ends)
        return Grammars(self.tokenizer, max(size, len(self.tokenizer)), ids)

    @cached_property
    def torch_model(self) -> Any:
        """The model in torch, for rows in static batches; an exported one is loaded when the first such row comes."""
        if isinstance(self.model, ExportedModel):
            return self.called_model(self.load_checkpoint(self.checkpoint.config).model)
        return self.model

    @property
    def generate(self) -> Any:
        """`generate`, for rows in static batches."""
        return self.torch_model.generate

    @property
    def pad_token_id(self) -> int:
        """Left padding of short prompts; masked."""
        for holder in (self.tokenizer, self.defaults, self.model.config):
            pad = getattr(holder, "pad_token_id", None)
            if isinstance(pad, int) and pad >= 0:
                return pad
        return 0

    def cost(self, row: Any) -> int:
        """KV slots that a row may come to use."""
        request: GenerationRequest = row
        return request.length

    @abstractmethod
    def preprocess(self, request: RequestT) -> Prepared:
        """Turn one item into rows, each a `GenerationRequest`.

        Raises:
            InvalidInput: the item cannot be an input of this task.
        """

    @abstractmethod
    def postprocess(self, request: RequestT, prepared: Prepared, outputs: Sequence[Completion]) -> ResponseT:
        """Turn the completions of one item into its answer."""

    def event(self, request: RequestT, piece: StreamedToken, index: int) -> dict[str, Any]:
        """One token of a stream of this item, the `index`-th of its text, counted from 1."""
        parameters: GenerationParameters = request.parameters  # type: ignore[attr-defined]
        return self.vocabulary.event(
            piece, index, with_bytes=parameters.token_bytes, is_continuation=self.is_continuation
        )

    def texts(self, prepared: Prepared) -> list[list[int]]:
        """The rows of each text of an item's answer: one row each, unless a text takes several."""
        return [[row] for row in range(len(prepared.rows))]

    def stream_transform(self, prepared: Prepared) -> Callable[[StreamedToken], StreamedToken]:
        """A function applied to each token of a text, in order, before it is streamed.

        A task whose rows overlap withholds the text of a row until it knows what part of it remains.
        """
        return lambda piece: piece

    def final_event(self, request: RequestT, prepared: Prepared, outputs: Sequence[Completion]) -> dict[str, Any]:
        """Fields of the last event of a text besides its token: the whole text and its details.

        Args:
            request: the item.
            prepared: with the rows of this text alone.
            outputs: of these rows.
        """
        row, completion = prepared.rows[0], outputs[0]
        return {
            "generated_text": self.text_of(row, completion),
            "details": self.vocabulary.details(row, completion),
        }

    def generated(
        self,
        requests: Sequence[GenerationRequest],
        outputs: Sequence[Completion],
        parameters: GenerationParameters,
        before: str = "",
    ) -> list[dict[str, Any]]:
        """The texts of one input, in the form of the Hugging Face API.

        Args:
            requests: the rows of the input.
            outputs: one for each.
            parameters: of the request.
            before: prepended to every text, such as the prompt.
        """
        answers = []
        for row in best(outputs, parameters.texts):
            answer: dict[str, Any] = {"generated_text": before + self.text_of(requests[row], outputs[row])}
            if parameters.details:
                answer["details"] = self.vocabulary.all_details(
                    requests[row],
                    outputs[row],
                    with_bytes=parameters.token_bytes,
                    is_continuation=self.is_continuation,
                )
            answers.append(answer)
        return answers

    def tokens_in(self, prepared: Prepared) -> int:
        return sum(
            {id(request.prompt): request.prompt_tokens for request in prepared.rows}.values()
        )  # each prompt once

    def tokens_of(self, items: Sequence[tuple[Prepared, Sequence[Any]]]) -> tuple[int, int | None]:
        read = sum(self.tokens_in(prepared) for prepared, _ in items)
        return read, sum(len(completion.tokens) for _, outputs in items for completion in outputs)

    def pace_of(self, items: Sequence[tuple[Prepared, Sequence[Any]]]) -> Pace:
        rows = [completion for _, outputs in items for completion in outputs]
        first = min((completion.previous_segments or (completion,))[0].first_token_s for completion in rows)
        parts = [
            part for completion in rows for part in (*completion.previous_segments, completion) if len(part.tokens) > 1
        ]
        if not parts:
            return Pace(first, None)
        seconds = sum(part.total_s - part.first_token_s for part in parts)
        return Pace(first, seconds / sum(len(part.tokens) - 1 for part in parts))

    def text_of(self, request: GenerationRequest, completion: Completion) -> str:
        """The text of a row, without special tokens, cut before a stop string."""
        if completion.text is not None:
            return completion.text
        prompt = list(request.prompt.ids) if self.is_continuation else []
        text: str = self.tokenizer.decode(prompt + completion.tokens, skip_special_tokens=True)
        if not prompt:
            return text
        return text[len(self.tokenizer.decode(prompt, skip_special_tokens=True)) :]
