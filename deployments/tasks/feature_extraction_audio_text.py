"""feature-extraction for recordings and texts: vectors of one space, by a model with two towers (`AutoModel`)."""

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field

from deployments.audio.task import AudioTask
from deployments.contract.similarity import Sentences
from deployments.contract.task import Body, Row
from deployments.layouts.media import StackedAlone, StackedAudio
from deployments.layouts.text import Layout
from deployments.layouts.two_towers import tower
from deployments.media.content import Media
from deployments.text import two_towers
from deployments.text.two_towers import TextInput, TwoTowers, read_input

if TYPE_CHECKING:
    import numpy as np
    import torch

POSITIONS = 500  # a recording of 10 s, at the 50 per second of other encoders


class AudioInput(Body):
    """A recording."""

    audio: Media


Input = Annotated[str | Media | TextInput | AudioInput, BeforeValidator(read_input(AudioInput, "audio"))]


class Request(two_towers.Request):
    inputs: Input | list[Input] | Sentences = Field(
        description="A text or a recording, or a list of them. A string is a recording if it is a data URL, an http or "
        'https URL, or at least 64 characters of base64; `{"text": …}` and `{"audio": …}` leave no doubt. For '
        "`source_sentence` and `sentences`, the answer is the similarity of each sentence to the source."
    )


class AudioTextFeatureExtraction(TwoTowers[Request], AudioTask[Request, Any]):
    """Vectors of recordings and texts in one space, as CLAP's."""

    aliases = ("embeddings", "sentence-embeddings", "sentence-similarity", "zero-shot-audio-classification")
    architectures = ("ClapModel",)
    request = Request
    media_features = "get_audio_features"
    media_tower = "audio_model"
    other_inputs = ("is_longer",)

    def called_model(self, model: Any) -> Any:
        return tower(model, self.media_features, getattr(model, self.media_tower))

    def row(self, samples: "np.ndarray[Any, Any]") -> Row:
        """A row from the samples of a recording; its beginning where the extractor would cut it at a random place."""
        is_random = self.extractor.truncation == "rand_trunc"
        return super().row(samples[: self.extractor.nb_max_samples] if is_random else samples)

    def media_cost(self, row: Row) -> int:
        return POSITIONS

    def media_layouts(self, media: "torch.nn.Module") -> tuple[Layout, Layout]:
        return StackedAudio(media), StackedAlone(media)

    def scale(self) -> "torch.Tensor":
        scale: torch.Tensor = self.checkpoint.model.logit_scale_a
        return scale

    def sample_file(self, words: int) -> Media:
        return self.sample(words)
