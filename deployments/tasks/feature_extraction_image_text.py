"""feature-extraction for images and texts: vectors of one space, by a model with two towers (`AutoModel`)."""

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field

from deployments.contract.similarity import Sentences
from deployments.contract.task import Body, Row
from deployments.image.task import ImageTask, sample_image
from deployments.layouts.media import Stacked, StackedAlone
from deployments.layouts.text import Layout
from deployments.media.content import Media
from deployments.text import two_towers
from deployments.text.two_towers import TextInput, TwoTowers, read_input

if TYPE_CHECKING:
    import torch

CHANNELS = 3


class ImageInput(Body):
    """An image."""

    image: Media


Input = Annotated[str | Media | TextInput | ImageInput, BeforeValidator(read_input(ImageInput, "image"))]


class Request(two_towers.Request):
    inputs: Input | list[Input] | Sentences = Field(
        description="A text or an image, or a list of them. A string is an image if it is a data URL, an http or https "
        'URL, or at least 64 characters of base64; `{"text": …}` and `{"image": …}` leave no doubt. For '
        "`source_sentence` and `sentences`, the answer is the similarity of each sentence to the source."
    )


class ImageTextFeatureExtraction(TwoTowers[Request], ImageTask[Request, Any]):
    """Vectors of images and texts in one space, as CLIP's and SigLIP's."""

    aliases = ("embeddings", "sentence-embeddings", "sentence-similarity", "zero-shot-image-classification")
    architectures = ("CLIPModel", "MetaClip2Model", "SiglipModel", "Siglip2Model")
    request = Request
    media_features = "get_image_features"
    media_tower = "vision_model"

    def media_cost(self, row: Row) -> int:
        """Patches of the image."""
        side: int = self.checkpoint.model.config.vision_config.patch_size
        return max(1, int(row.inputs["pixel_values"].size) // (CHANNELS * side**2))

    def media_layouts(self, media: "torch.nn.Module") -> tuple[Layout, Layout]:
        return Stacked(media), StackedAlone(media)

    def scale(self) -> "torch.Tensor":
        scale: torch.Tensor = self.checkpoint.model.logit_scale
        return scale

    def sample_file(self, words: int) -> Media:
        return sample_image(16 + words)
