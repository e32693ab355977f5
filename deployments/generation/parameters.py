"""Generation parameters of a request: the options of the Hugging Face API, TGI and `generate`."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from deployments.contract.task import Body, RequestBody
from deployments.errors import InvalidInput
from deployments.generation.in_flight.admission import require_positions
from deployments.generation.request import GenerationRequest
from deployments.generation.sampling.params import MAX_TOP_TOKENS, SEEDS, SamplingParams, sampling_params
from deployments.generation.sampling.row import RowProcessor
from deployments.generation.sequence import Prompt

MAX_STOPS = 16
MAX_SEQUENCES = 32

# Any of these turns sampling on: TGI's clients send a temperature and nothing else.
_SAMPLING = ("temperature", "top_k", "top_p", "min_p", "typical_p")
_WITHOUT_EFFECT = ("watermark", "decoder_input_details", "adapter_id")  # TGI's, if they are false or null
# Objects into which Hugging Face's clients put some of the options, depending on the task.
_NESTED = ("generation_parameters", "generate_parameters", "generate_kwargs")


class GenerationParameters(Body):
    """Options of every generating task. Defaults are the checkpoint's (`generation_config.json`)."""

    do_sample: bool | None = Field(
        default=None,
        description="Sample each token; else take the likeliest. Default: true if an option of sampling is set.",
    )
    temperature: float | None = Field(default=None, description="Above 0; lower is more deterministic.")
    top_k: int | None = Field(default=None, description="Sample from the k likeliest tokens; 0: from all.")
    top_p: float | None = Field(
        default=None, description="Sample from the likeliest tokens with this total probability."
    )
    min_p: float | None = Field(
        default=None, description="Sample from tokens at least this fraction as likely as the likeliest."
    )
    typical_p: float | None = Field(default=None, description="Locally typical sampling.")
    repetition_penalty: float | None = Field(
        default=None, description="Above 1: tokens of the prompt and the text become less likely."
    )
    frequency_penalty: float | None = Field(
        default=None, description="-2 to 2, subtracted for each time a token was generated."
    )
    presence_penalty: float | None = Field(default=None, description="-2 to 2, subtracted once a token was generated.")
    no_repeat_ngram_size: int | None = Field(default=None, description="No sequence of this many tokens occurs twice.")
    seed: int | None = Field(
        default=None, description="The same seed samples the same tokens, whatever else is in the batch."
    )
    max_new_tokens: int | None = Field(default=None, description="Maximum number of tokens to generate.")
    fill_context: bool = Field(
        default=False,
        description="Without a maximum number of tokens, generate until the model ends the text or its context is "
        "full.",
    )
    min_new_tokens: int | None = Field(default=None, description="Minimum number of tokens to generate.")
    max_length: int | None = Field(default=None, ge=1, description="As max_new_tokens, the decoder's prompt included.")
    min_length: int | None = Field(default=None, ge=0, description="As min_new_tokens, the decoder's prompt included.")
    stop: list[Annotated[str, Field(min_length=1)]] | None = Field(
        default=None, max_length=MAX_STOPS, description="Strings before which the text ends."
    )
    eos_token_id: int | list[int] | None = Field(default=None, description="Tokens that end the text.")
    num_beams: int | None = Field(default=None, ge=1, le=16, description="Above 1: beam search, in static batches.")
    length_penalty: float | None = Field(default=None, description="For beam search; above 0 prefers long texts.")
    early_stopping: bool | Literal["never"] | None = Field(
        default=None,
        description="When beam search ends. true: at `num_beams` whole texts; false: when better ones are unlikely; "
        "never: when there can be none. Default: as in the checkpoint.",
    )
    num_return_sequences: int | None = Field(
        default=None, ge=1, le=MAX_SEQUENCES, description="Number of texts for one input."
    )
    best_of: int | None = Field(
        default=None, ge=1, le=MAX_SEQUENCES, description="Generate this many and return the likeliest."
    )
    top_n_tokens: int | None = Field(
        default=None,
        ge=0,
        le=MAX_TOP_TOKENS,
        description="With `details`: number of likeliest tokens to return for every step.",
    )
    details: bool = Field(default=False, description="Tokens with their log-probabilities, and why the text ended.")
    token_bytes: bool = Field(
        default=False, description="With `details` or a stream: the bytes of each token; it may be part of a character."
    )

    decoder_input_details: bool = Field(
        default=False,
        description="With `details`: the prompt's tokens with their log-probabilities, in `prefill`; the first has "
        "none. For models without an encoder.",
    )

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, given: Any) -> Any:
        """Merge nested options with the others, which take precedence."""
        if not isinstance(given, dict):
            return given
        given = {name: value for name, value in given.items() if name not in _WITHOUT_EFFECT or value}
        nested = [name for name in _NESTED if isinstance(given.get(name), dict | None)]
        options = {key: value for name in nested for key, value in (given.get(name) or {}).items()}
        return options | {name: value for name, value in given.items() if name not in nested}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.best_of is not None and self.best_of < (self.num_return_sequences or 1):
            raise ValueError("best_of must be at least num_return_sequences")
        return self

    @property
    def texts(self) -> int:
        """Texts to return for one input."""
        return self.num_return_sequences or 1

    @property
    def generated_texts(self) -> int:
        """Texts to generate for one input, of which `texts` are returned."""
        return max(self.texts, self.best_of or 1)

    def requests(
        self,
        prompt: Prompt,
        defaults: Any,
        *,
        processor: RowProcessor | None = None,
        with_logprobs: bool = False,
        max_positions: int | None = None,
    ) -> list[GenerationRequest]:
        """One row for each text to generate.

        Args:
            prompt: of all of them.
            defaults: the checkpoint's `GenerationConfig`.
            processor: logits processor of these rows alone.
            with_logprobs: report the log-probability of each token, also without `details`.
            max_positions: tokens that the decoder has positions for; None if there is no limit.

        Raises:
            InvalidInput: an option out of its range, options that exclude each other, or too many tokens.
        """
        count = self.generated_texts
        params = self._sampling_params(prompt, defaults, with_logprobs, max_positions)
        beams = self.num_beams or getattr(defaults, "num_beams", None) or 1
        if count > 1 and (beams > 1 or not params.do_sample):
            raise InvalidInput(
                "parameters: several texts need do_sample and no num_beams; without sampling they would be equal"
            )
        length_penalty = self.length_penalty if self.length_penalty is not None else defaults.length_penalty
        early_stopping = self.early_stopping if self.early_stopping is not None else defaults.early_stopping
        return [
            GenerationRequest(
                prompt,
                each,
                (*(self.stop or ()), *_stop_strings(defaults)),
                processor,
                beams,
                1.0 if length_penalty is None else length_penalty,
                early_stopping or False,
                is_open_ended=self.fill_context and self.max_new_tokens is None and self.max_length is None,
            )
            for each in _seeded(params, count)
        ]

    def _sampling_params(
        self, prompt: Prompt, defaults: Any, with_logprobs: bool, max_positions: int | None
    ) -> SamplingParams:
        """The options of the sampler, the same for all texts but for their seeds; the arguments are `requests`'."""
        if self.decoder_input_details and prompt.inputs:
            raise InvalidInput("parameters.decoder_input_details: only for models that read nothing but the prompt")
        length = len(prompt.ids)
        reported = {
            "logprobs": with_logprobs or self.details or self.generated_texts > self.texts,
            "prompt_logprobs": self.decoder_input_details,
        }
        params = sampling_params(
            defaults,
            self._overrides(length, defaults) | reported,
            prompt_length=length,
            room=None if max_positions is None else max_positions - length,
            fill_context=self.fill_context,
        )
        require_positions(length, params.max_new_tokens, max_positions)
        return params

    def _overrides(self, prompt_length: int, defaults: Any) -> dict[str, Any]:
        """The request's options by the names of `SamplingParams`."""
        names = GenerationParameters.model_fields.keys() & {option.name for option in fields(SamplingParams)}
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if "do_sample" not in given and any(name in given for name in _SAMPLING):
            given["do_sample"] = True
        if self.max_length is not None and self.max_new_tokens is None:
            if self.max_length <= prompt_length:
                raise InvalidInput(
                    f"parameters.max_length is {self.max_length}, but the prompt has {prompt_length} tokens"
                )
            given["max_new_tokens"] = self.max_length - prompt_length
        if self.min_length is not None and self.min_new_tokens is None:
            given["min_new_tokens"] = max(0, self.min_length - prompt_length)
        if self.eos_token_id is not None:
            ids = self.eos_token_id
            given["eos_token_ids"] = (ids,) if isinstance(ids, int) else tuple(ids)
        return given


def _stop_strings(defaults: Any) -> Sequence[str]:
    """The checkpoint's own stop strings, which hold beside those of a request."""
    strings = getattr(defaults, "stop_strings", None) or ()
    return [strings] if isinstance(strings, str) else strings


class GeneratingRequest(RequestBody):
    """Fields of every request of a generating task besides inputs and parameters."""

    stream: bool = Field(default=False, description="Send the text as server-sent events, token by token.")

    @model_validator(mode="after")
    def _all_texts_in_a_stream(self) -> Self:
        parameters = getattr(self, "parameters", None)
        if (
            self.stream
            and isinstance(parameters, GenerationParameters)
            and parameters.generated_texts > parameters.texts
        ):
            raise ValueError("stream: the best texts are known only at the end; omit best_of")
        return self


def _seeded(params: SamplingParams, count: int) -> Sequence[SamplingParams]:
    """Options for `count` rows of one input, each with its own seed derived from the request's."""
    if count == 1 or params.seed is None:
        return [params] * count
    return [replace(params, seed=(params.seed + number) % SEEDS) for number in range(count)]
