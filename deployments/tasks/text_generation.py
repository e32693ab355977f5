"""text-generation: continues a prompt or a chat (`AutoModelForCausalLM`)."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from deployments.checkpoints.facts import facts_of
from deployments.checkpoints.load import Checkpoint
from deployments.contract.task import Body, Prepared
from deployments.errors import InvalidInput
from deployments.generation.grammar import GuidedParameters
from deployments.generation.parameters import GeneratingRequest
from deployments.generation.request import Completion
from deployments.generation.sequence import Prompt
from deployments.generation.task import GeneratingTask
from deployments.generation.tgi import Details
from deployments.text.task import embedded_tokens, filler, require_embedded, require_length
from deployments.text.tokens import TokenIds, are_ids, require_known

EXAMPLE_ROOM = 16  # positions behind an example; the check at load continues it by 15 tokens


class Message(Body):
    """One message of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


Chat = list[Message]


class Parameters(GuidedParameters):
    return_full_text: bool = Field(
        default=False, description="Return the prompt or the chat before the generated text."
    )
    truncate: int | None = Field(
        default=None, ge=1, description="Use only this many tokens of the prompt, the last ones."
    )


class Request(GeneratingRequest):
    inputs: str | list[str] | Chat | list[Chat] | TokenIds | list[TokenIds] = Field(
        description="A prompt, a chat (messages with `role` and `content`), or a list of them. A prompt may be given "
        "as token ids, special tokens included."
    )
    parameters: Parameters = Parameters()

    @property
    def is_batch(self) -> bool:
        """Whether inputs is a list of prompts or chats; a list of messages is a chat, one of numbers a prompt."""
        return isinstance(self.inputs, list) and not (self.inputs and isinstance(self.inputs[0], Message | int))


class Continuation(BaseModel):
    """The generated text; for a chat with `return_full_text`, the chat with the answer."""

    generated_text: str | list[Message]
    details: Details | None = None


class TextGeneration(GeneratingTask[Request, list[Continuation]]):
    """The continuation of a prompt, or the next message of a chat."""

    name = "text-generation"
    purpose = "Continue a text or a chat, optionally as a stream of tokens or constrained by a JSON schema."
    auto_model = "AutoModelForCausalLM"
    operation = "text_completion"
    auto_processor = "AutoTokenizer"
    is_decoder_only = True
    architectures = ("ForCausalLM", "LMHeadModel", "ReformerModelWithLMHead", "BertGenerationDecoder")
    request = Request
    response = list[Continuation] | list[list[Continuation]]
    example = {"inputs": "The river rose in the night and", "parameters": {"max_new_tokens": 8}}

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint)
        self._embedded = embedded_tokens(self.tokenizer, checkpoint.model)

    def preprocess(self, request: Request) -> Prepared:
        ids = self._ids(request.inputs)
        require_embedded(ids, self._embedded, self.tokenizer)
        truncate = request.parameters.truncate
        truncated = truncate is not None and len(ids) > truncate
        prompt = Prompt(ids[-truncate:] if truncated and truncate else ids)
        requests = request.parameters.requests(
            prompt, self.defaults, with_logprobs=request.stream, max_positions=self.max_positions
        )
        return Prepared(self.grammars.guided(requests, request.parameters), truncated=truncated)

    def postprocess(self, request: Request, prepared: Prepared, outputs: Sequence[Completion]) -> Any:
        before: Any = request.inputs if request.parameters.return_full_text else ""
        if are_ids(before):
            before = self.tokenizer.decode(before, skip_special_tokens=True)
        if isinstance(before, str):
            return self.generated(prepared.rows, outputs, request.parameters, before)
        chat = [message.model_dump() for message in before if isinstance(message, Message)]
        return [
            answer | {"generated_text": _with_answer(chat, answer["generated_text"])}
            for answer in self.generated(prepared.rows, outputs, request.parameters)
        ]

    def sized_example(self, words: int) -> Request:
        parameters = Parameters(max_new_tokens=4, do_sample=False)
        if self.max_positions is not None:  # a word may have many tokens, as in a model of characters
            parameters.truncate = max(1, self.max_positions - EXAMPLE_ROOM)
        return Request(inputs=filler(words), parameters=parameters)

    def _ids(self, inputs: Any) -> list[int]:
        """The token ids of a prompt or chat."""
        if isinstance(inputs, str):
            require_length(inputs, "inputs")
            return list(self.tokenizer(inputs)["input_ids"])
        if are_ids(inputs):
            embedded = facts_of(self.model).embeddings
            assert embedded is not None
            require_known(inputs, embedded)
            return list(inputs)
        if not self.tokenizer.chat_template:
            raise InvalidInput("inputs is a chat, but this model has no chat template; send a prompt")
        if not inputs:
            raise InvalidInput("inputs is a chat without messages")
        chat = [message.model_dump() for message in inputs]
        continues = chat[-1]["role"] == "assistant"  # the model continues a last assistant message
        try:
            text = self.tokenizer.apply_chat_template(
                chat, tokenize=False, add_generation_prompt=not continues, continue_final_message=continues
            )
        except Exception as error:  # a template is a program in the checkpoint and fails in any way
            raise InvalidInput(f"the model's chat template rejects inputs: {error}") from error
        require_length(text, "inputs")
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])


def _with_answer(chat: list[dict[str, str]], text: str) -> list[dict[str, str]]:
    """The chat with the answer: as a new message, or appended to a last assistant message."""
    if chat[-1]["role"] == "assistant":
        return [*chat[:-1], chat[-1] | {"content": chat[-1]["content"] + text}]
    return [*chat, {"role": "assistant", "content": text}]
