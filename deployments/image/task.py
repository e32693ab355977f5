"""What the tasks that read pictures share: bytes to pixels as the checkpoint's image processor wants them."""

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

# Image processors scale the shorter side to what the model reads before they crop: a picture 1 pixel wide and 20,000
# high would become one of 224 by 4,480,000.
MAX_ASPECT_RATIO = 100

# Eight by eight pixels, as base64: an example is read in the docs, too.
EXAMPLE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAIUlEQVR42mNkYPjPoHKbQeUOgyoyeYdFhQE7wC2hOoA6AENUCRwn"
    "bJmMAAAAAElFTkSuQmCC"
)


class ImageTask(ForwardTask[RequestT, ResponseT]):
    """A task whose rows are pictures. Rows of equal shape share a batch."""

    medium = "image"
    auto_processor = "AutoImageProcessor"
    processor_options: ClassVar = {"backend": "pil"}  # the other backend needs torchvision, and rounds otherwise
    preprocess_threads = min(4, os.cpu_count() or 1)

    def layouts(self) -> Sequence[Layout]:
        return [Stacked(self.checkpoint.model), StackedAlone(self.checkpoint.model)]

    def cost(self, row: Row) -> int:
        """Pixels that the model reads."""
        height, width = row.inputs["pixel_values"].shape[-2:]
        return int(height * width)

    def prepare(self, media: Media) -> Prepared:
        """One row from one picture.

        Raises:
            ServiceError: not a picture that can be read, or one of an impossible shape.
        """
        import numpy as np

        picture = read_for_processor(media, self.limits)
        features = self.checkpoint.processor(images=picture, return_tensors="np")
        inputs = {name: np.ascontiguousarray(value[0]) for name, value in features.items()}
        shapes = tuple((name, value.shape) for name, value in inputs.items())
        return Prepared([Row(inputs, length=1)], params=shapes)


def read_for_processor(media: Media, limits: MediaLimits, *, what: str = "inputs") -> "Image.Image":
    """A picture that an image processor can scale; `what` names it in messages.

    Raises:
        ServiceError: not a picture that can be read, or one of an impossible shape.
    """
    picture = read_image(media, limits, what=what)
    if max(picture.size) > MAX_ASPECT_RATIO * min(picture.size):
        width, height = picture.size
        raise InvalidInput(
            f"{what} is a picture of {width:,} x {height:,} pixels; its longer side may be at most "
            f"{MAX_ASPECT_RATIO} times the shorter one"
        )
    return picture


def sample_picture(side: int) -> Media:
    """A picture of so many pixels a side, with something to see in it: waves of colour, others for other sides."""
    import numpy as np
    from PIL import Image

    place = np.linspace(0, 2 * np.pi, side)
    waves = [np.sin((side % 5 + 1) * place)[:, None], np.cos((side % 3 + 1) * place)[None], np.sin(place + side)[None]]
    pixels = 127.5 * (1 + np.stack(np.broadcast_arrays(*waves), axis=-1))
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "PNG", compress_level=1)
    return Media(buffer.getvalue())
