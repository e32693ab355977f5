"""Parameters of a transcript: those of every generating task, and Whisper's."""

from typing import Annotated, Any, Literal

from pydantic import Field

from deployments.audio.whisper.safeguards import TEMPERATURES, Safeguards
from deployments.config import LongForm
from deployments.errors import InvalidInput
from deployments.generation.parameters import GenerationParameters
from deployments.generation.sampling.params import MAX_TEMPERATURE

MAX_TEMPERATURES = 16
FALLBACK_SEED = 0  # of attempts that sample; fixed, so that a recording has one transcript
SAFEGUARDS = {  # by the name of the parameter
    "compression_ratio_threshold": "compression_ratio",
    "logprob_threshold": "logprob",
    "no_speech_threshold": "no_speech",
}


class TranscriptParameters(GenerationParameters):
    """Parameters of a transcript. Names and meanings are openai/whisper's."""

    language: str | None = Field(
        default=None,
        description="Spoken language, as a name or code (`english`, `en`, `en-GB`); default: detected by the model.",
    )
    task: Literal["transcribe", "translate"] | None = Field(
        default=None, description="Transcribe in the spoken language, or translate to English."
    )
    return_timestamps: bool | Literal["segment", "word"] | None = Field(
        default=None, description="Return start and end of each segment or word, in seconds; true means segment."
    )
    segments: bool = Field(
        default=False,
        description="Return `segments` with the fields of openai/whisper, the language and the recording's duration.",
    )
    prompt: str | None = Field(
        default=None,
        description="Text that comes before the recording's: names and spellings, or the transcript so far. The model "
        "reads its last tokens.",
    )
    temperature: float | Annotated[list[float], Field(min_length=1, max_length=MAX_TEMPERATURES)] | None = Field(  # type: ignore[assignment]
        default=None,
        description="Above 0; lower is more deterministic. A list: the temperatures of the attempts, 0 for the "
        "likeliest tokens; the next one is tried if a text repeats itself or is unlikely.",
    )
    compression_ratio_threshold: float | None = Field(
        default=None, description="A text that compresses by more than this repeats itself (2.4)."
    )
    logprob_threshold: float | None = Field(
        default=None, description="A text whose tokens have a lower mean log-probability is unlikely (-1.0)."
    )
    no_speech_threshold: float | None = Field(
        default=None,
        description="An unlikely text is dropped if the model takes the audio for silence with a higher probability "
        "(0.6).",
    )
    long_form: LongForm | None = Field(
        default=None,
        description="How a recording longer than a window is read: `speech`, `sequential` or `overlap`; default: "
        "`audio.long_form` of the configuration.",
    )
    condition_on_previous_text: bool = Field(
        default=False,
        description="Each part of a recording is read with the text of the part before as its prompt; needs "
        "the long form `sequential`.",
    )

    def safeguards(self, *, is_long: bool) -> Safeguards | None:
        """The safeguards of a recording; None without any.

        They hold for recordings of several windows, and for others if an option of theirs is set. Beam search has none.

        Raises:
            InvalidInput: a temperature out of its range, or several with beam search.
        """
        if isinstance(self.temperature, list) and (self.num_beams or 1) > 1:
            raise InvalidInput("parameters.temperature: num_beams above 1 takes a single one")
        given = {name for name in SAFEGUARDS if name in self.model_fields_set}
        if not (is_long or given or isinstance(self.temperature, list)) or (self.num_beams or 1) > 1:
            return None
        return Safeguards(self._temperatures(), **{SAFEGUARDS[name]: getattr(self, name) for name in given})

    def attempt(self, temperature: float, number: int) -> "TranscriptParameters":
        """The parameters of an attempt.

        Args:
            temperature: 0 for the likeliest tokens.
            number: of the attempt, from 0.
        """
        if self._is_sampled:
            return self
        seed = (FALLBACK_SEED if self.seed is None else self.seed) + number
        options: dict[str, Any] = {"do_sample": temperature > 0, "temperature": temperature or None}
        if temperature > 0:  # openai/whisper samples from all tokens
            options |= {"seed": seed, "top_k": 0 if self.top_k is None else self.top_k}
        return self.model_copy(update=options)

    @property
    def _is_sampled(self) -> bool:
        """Whether the request itself asks for one text that is sampled."""
        return not isinstance(self.temperature, list) and (bool(self.do_sample) or bool(self.temperature))

    @property
    def single_temperature(self) -> float:
        """What a text is sampled at that has one attempt; 0 for the likeliest tokens."""
        if isinstance(self.temperature, list) or not self._is_sampled:
            return 0.0
        return self.temperature or 1.0

    def _temperatures(self) -> tuple[float, ...]:
        if isinstance(self.temperature, list):
            for temperature in self.temperature:
                if not 0 <= temperature <= MAX_TEMPERATURE:
                    raise InvalidInput(
                        f"parameters.temperature: {temperature} is not between 0 and {MAX_TEMPERATURE:g}"
                    )
            return tuple(self.temperature)
        if self._is_sampled:
            return (self.single_temperature,)
        return TEMPERATURES if self.temperature is None else (self.temperature,)
