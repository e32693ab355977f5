"""text2text-generation: one text to another, such as summaries and translations (`AutoModelForSeq2SeqLM`)."""

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from deployments.checkpoints.load import Checkpoint
from deployments.contract.task import Prepared
from deployments.errors import InvalidInput, LoadError, did_you_mean
from deployments.generation.adapters import TaskSpecificParams, TranslationLanguages, decoder_start
from deployments.generation.grammar import GuidedParameters
from deployments.generation.parameters import GeneratingRequest
from deployments.generation.request import Completion
from deployments.generation.sequence import Prompt
from deployments.generation.task import GeneratingTask
from deployments.generation.tgi import GeneratedText
from deployments.text.task import (
    Side,
    embedded_tokens,
    filler,
    max_length_of,
    require_embedded,
    require_text,
    tokenized,
)


class Parameters(GuidedParameters):
    truncate: bool = Field(
        default=True, description="Truncate texts longer than the model's maximum length; if false, reject them."
    )
    truncation_direction: Side = "right"
    task: str | None = Field(
        default=None,
        description="The task that the text is for, such as `summarization`. A checkpoint that was trained for several "
        "(`task_specific_params` in its configuration) has a prefix and options for it, which apply; others ignore it.",
    )
    src_lang: str | None = Field(default=None, description="Language code of the input, as the model defines it.")
    tgt_lang: str | None = Field(default=None, description="Language code of the output, as the model defines it.")


class Request(GeneratingRequest):
    inputs: str | list[str] = Field(description="A text, or a list of texts.")
    parameters: Parameters = Parameters()


class Text2TextGeneration(GeneratingTask[Request, list[GeneratedText]]):
    """The text that the model generates from another text."""

    name = "text2text-generation"
    purpose = "Turn one text into another: translations, summaries, corrections, pronunciations."
    aliases = ("summarization", "translation")
    auto_model = "AutoModelForSeq2SeqLM"
    operation = "text_completion"
    auto_processor = "AutoTokenizer"
    architectures = ("ForConditionalGeneration", "MarianMTModel", "T5WithLMHeadModel", "EncoderDecoderModel")
    request = Request
    response = list[GeneratedText] | list[list[GeneratedText]]
    example = {"inputs": "The river rose in the night.", "parameters": {"max_new_tokens": 8}}

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint)
        self.max_length = max_length_of(checkpoint)
        self._embedded = embedded_tokens(self.tokenizer, checkpoint.model)
        self.tasks = TaskSpecificParams(checkpoint.model.config)
        self.languages = TranslationLanguages(self.tokenizer, self.tasks)
        start = decoder_start(checkpoint.model)
        if start is None:
            raise LoadError(f"{checkpoint.config.model}: the checkpoint has no decoder_start_token_id")
        self._start = start

    def preprocess(self, request: Request) -> Prepared:
        import torch

        inputs, parameters = request.inputs, request.parameters
        assert isinstance(inputs, str)
        require_text(inputs, "inputs")
        text, defaults = self._for_task(parameters.task, inputs)
        text, defaults = self.languages.prepare(text, defaults, parameters.src_lang, parameters.tgt_lang)
        truncate, side = parameters.truncate, parameters.truncation_direction
        encoding, truncated = tokenized(self.tokenizer, text, max_length=self.max_length, truncate=truncate, side=side)
        require_embedded(encoding["input_ids"], self._embedded, self.tokenizer)
        prompt = Prompt(self._start, {"input_ids": torch.tensor(encoding["input_ids"])})
        requests = parameters.requests(prompt, defaults, with_logprobs=request.stream, max_positions=self.max_positions)
        return Prepared(self.grammars.guided(requests, parameters), truncated=truncated)

    def postprocess(self, request: Request, prepared: Prepared, outputs: Sequence[Completion]) -> Any:
        return self.generated(prepared.rows, outputs, request.parameters)

    def _for_task(self, name: str | None, text: str) -> tuple[str, Any]:
        """The text and the defaults of the task that it is for."""
        known = self.tasks.entries
        if name is None:
            return text, self.defaults
        if known and name not in (*known, *self.aliases):
            hint = did_you_mean(name, list(known), listed=f"it has {', '.join(sorted(known))}")
            raise InvalidInput(f"parameters.task: this checkpoint has no task {name!r}; {hint}")
        return self.tasks.apply(name, text, self.defaults)

    def sized_example(self, words: int) -> Request:
        return Request(inputs=filler(words), parameters=Parameters(max_new_tokens=4, do_sample=False))
