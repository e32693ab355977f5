"""ImageTask: an image is a row, prepared by the checkpoint's image processor."""

import io
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from deployments.contract.task import Prepared, RequestT, ResponseT, Row
from deployments.errors import InvalidInput
from deployments.layouts.media import Stacked, StackedAlone
from deployments.layouts.task import ForwardTask
from deployments.layouts.text import Layout
from deployments.media.content import Media
from deployments.media.image import read_image
from deployments.media.limits import MediaLimits

if TYPE_CHECKING:
    from PIL import Image

# Image processors scale the shorter side to the model's size before they crop: an image of 1 x 20,000 pixels would
# become one of 224 x 4,480,000.
MAX_ASPECT_RATIO = 100

SIDE = 64  # pixels of an image for probing the processor

# 8 x 8 pixels as base64; short, because the docs show it.
EXAMPLE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAIUlEQVR42mNkYPjPoHKbQeUOgyoyeYdFhQE7wC2hOoA6AENUCRwn"
    "bJmMAAAAAElFTkSuQmCC"
)


class ImageTask(ForwardTask[RequestT, ResponseT]):
    """A task whose rows are images. Rows of equal shape share a batch."""

    medium = "image"
    auto_processor = "AutoImageProcessor"
    processor_options: ClassVar = {"backend": "pil"}  # the other backend needs torchvision and rounds differently
    preprocess_threads = min(4, os.cpu_count() or 1)

    def layouts(self) -> Sequence[Layout]:
        return [Stacked(self.checkpoint.model), StackedAlone(self.checkpoint.model)]

    def has_one_shape(self) -> bool:
        """Whether the image processor brings every image to one size, also one that is no square."""
        return self.prepare(sample_image(SIDE, SIDE // 2)).params == self.prepare(sample_image(SIDE)).params

    def cost(self, row: Row) -> int:
        """Pixels of the model's input."""
        height, width = row.inputs["pixel_values"].shape[-2:]
        return int(height * width)

    def prepare(self, media: Media) -> Prepared:
        """Prepare one image as a row.

        Raises:
            ServiceError: the image cannot be decoded, or its aspect ratio is too large.
        """
        import numpy as np

        image = read_for_processor(media, self.limits)
        features = self.checkpoint.processor(images=image, return_tensors="np")
        inputs = {name: np.ascontiguousarray(value[0]) for name, value in features.items()}
        shapes = tuple((name, value.shape) for name, value in inputs.items())
        return Prepared([Row(inputs, length=1)], params=shapes)


def read_for_processor(media: Media, limits: MediaLimits, *, field: str = "inputs") -> "Image.Image":
    """Decode an image that an image processor can scale; `field` names it in messages.

    Raises:
        ServiceError: the image cannot be decoded, or its aspect ratio is too large.
    """
    image = read_image(media, limits, field=field)
    if max(image.size) > MAX_ASPECT_RATIO * min(image.size):
        width, height = image.size
        raise InvalidInput(
            f"{field} is an image of {width:,} x {height:,} pixels; its longer side may be at most "
            f"{MAX_ASPECT_RATIO} times the shorter one"
        )
    return image


def sample_image(side: int, height: int | None = None) -> Media:
    """An image of waves of colour, different for each `side` (in pixels); a square without a height."""
    import numpy as np
    from PIL import Image

    phase = np.linspace(0, 2 * np.pi, side)
    waves = [np.sin((side % 5 + 1) * phase)[:, None], np.cos((side % 3 + 1) * phase)[None], np.sin(phase + side)[None]]
    pixels = 127.5 * (1 + np.stack(np.broadcast_arrays(*waves), axis=-1))[:height]
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "PNG", compress_level=1)
    return Media(buffer.getvalue())
