"""text-generation: text that goes on where a prompt or a chat ends (`AutoModelForCausalLM`)."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from deployments.contract.task import Body, Prepared
from deployments.errors import InvalidInput
from deployments.generation.grammar import GuidedParameters
from deployments.generation.parameters import GeneratingRequest
from deployments.generation.request import Completion
from deployments.generation.sequence import Prompt
from deployments.generation.task import GeneratingTask
from deployments.generation.tgi import Details
from deployments.text.task import filler, require_length
from deployments.text.tokens import TokenIds, are_ids, require_known


class Message(Body):
    """One message of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


Chat = list[Message]


class Parameters(GuidedParameters):
    return_full_text: bool = Field(default=False, description="The prompt, or the chat, in front of the text.")
    truncate: int | None = Field(default=None, ge=1, description="Only the last so many tokens of the prompt are read.")


class Request(GeneratingRequest):
    inputs: str | list[str] | Chat | list[Chat] | TokenIds | list[TokenIds] = Field(
        description="A prompt, or a chat (messages with `role` and `content`), or a list of them; or, for a prompt, "
        "its token ids, special ones included."
    )
    parameters: Parameters = Parameters()

    @property
    def is_batch(self) -> bool:
        """A list of prompts or of chats; a single chat is a list of messages, a prompt's ids one of numbers."""
        return isinstance(self.inputs, list) and not (self.inputs and isinstance(self.inputs[0], Message | int))


class Continuation(BaseModel):
    """What the model wrote; a chat with its answer, where the full text is asked for."""

    generated_text: str | list[Message]
    details: Details | None = None


class TextGeneration(GeneratingTask[Request, list[Continuation]]):
    """Text that goes on where the prompt ends, or the next message of a chat."""

    name = "text-generation"
    purpose = "Continue a text or a chat, token by token, as a stream if wanted, and held to a JSON schema if wanted."
    auto_model = "AutoModelForCausalLM"
    operation = "text_completion"
    auto_processor = "AutoTokenizer"
    architectures = ("ForCausalLM", "LMHeadModel")
    request = Request
    response = list[Continuation] | list[list[Continuation]]
    example = {"inputs": "The river rose in the night and", "parameters": {"max_new_tokens": 8}}

    def preprocess(self, request: Request) -> Prepared:
        ids = self._ids(request.inputs)
        truncate = request.parameters.truncate
        cut = truncate is not None and len(ids) > truncate
        prompt = Prompt(ids[-truncate:] if cut and truncate else ids)
        requests = request.parameters.requests(
            prompt, self.defaults, with_logprobs=request.stream, max_positions=self.max_positions
        )
        return Prepared(self.grammars.guided(requests, request.parameters), truncated=cut)

    def postprocess(self, request: Request, prepared: Prepared, outputs: Sequence[Completion]) -> Any:
        before: Any = request.inputs if request.parameters.return_full_text else ""
        if are_ids(before):
            before = self.tokenizer.decode(before, skip_special_tokens=True)
        if isinstance(before, str):
            return self.generated(prepared.rows, outputs, request.parameters, before)
        chat = [message.model_dump() for message in before if isinstance(message, Message)]
        return [
            answer | {"generated_text": _answered(chat, answer["generated_text"])}
            for answer in self.generated(prepared.rows, outputs, request.parameters)
        ]

    def sized_example(self, words: int) -> Request:
        return Request(inputs=filler(words), parameters=Parameters(max_new_tokens=4, do_sample=False))

    def _ids(self, inputs: Any) -> list[int]:
        """Tokens of a prompt or of a chat."""
        if isinstance(inputs, str):
            require_length(inputs, "inputs")
            return list(self.tokenizer(inputs)["input_ids"])
        if are_ids(inputs):
            require_known(inputs, self.model.get_input_embeddings().num_embeddings)
            return list(inputs)
        if not self.tokenizer.chat_template:
            raise InvalidInput("inputs is a chat, and this model has no chat template; send a prompt")
        if not inputs:
            raise InvalidInput("inputs is a chat without a message")
        chat = [message.model_dump() for message in inputs]
        goes_on = chat[-1]["role"] == "assistant"  # what the assistant began is gone on with
        try:
            text = self.tokenizer.apply_chat_template(
                chat, tokenize=False, add_generation_prompt=not goes_on, continue_final_message=goes_on
            )
        except Exception as error:  # a template is a program of the checkpoint's, and may refuse in any way
            raise InvalidInput(f"inputs is a chat that the model's template refuses: {error}") from error
        require_length(text, "inputs")
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])


def _answered(chat: list[dict[str, str]], text: str) -> list[dict[str, str]]:
    """The chat with the answer: as a message of its own, or behind what the assistant began."""
    if chat[-1]["role"] == "assistant":
        return [*chat[:-1], chat[-1] | {"content": chat[-1]["content"] + text}]
    return [*chat, {"role": "assistant", "content": text}]
