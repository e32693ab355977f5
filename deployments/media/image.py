"""Bytes to a picture, as `transformers.image_utils.load_image` gives it, with the size looked at before decoding."""

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

from deployments.errors import InvalidInput, ServiceError, TooLarge, UnsupportedMedia
from deployments.media.content import Media
from deployments.media.limits import MediaLimits
from deployments.media.sniff import PICTURES, not_a, sniff

if TYPE_CHECKING:
    from PIL import Image


def read_image(media: Media, limits: MediaLimits, *, what: str = "inputs") -> "Image.Image":
    """The picture in RGB and upright; of several frames or pages the first.

    Every mode is converted as `Image.convert("RGB")` does it (alpha is dropped), but for greyscale of 16 bits, which
    Pillow would clip at 255: here the upper eight bits stay, as Pillow does it for colours of 16 bits.

    Args:
        media: the file.
        limits: `max_pixels` is compared with the header before anything is decoded.
        what: names the input in messages.

    Raises:
        UnsupportedMedia: none of the formats that are read.
        TooLarge: more pixels than `limits.max_pixels`.
        InvalidInput: empty, damaged, or without a pixel.
    """
    data = media.content(what)
    kind = sniff(data)
    if kind not in PICTURES:
        raise UnsupportedMedia(not_a("picture", PICTURES, data, what))
    from PIL import Image

    try:
        with _open(data, kind, limits) as image:
            _require_size(image.size, kind, limits, what)
            return _upright_rgb(image)
    except ServiceError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooLarge(f"{what} is a {kind} of too many pixels; limits.max_pixels is {limits.max_pixels:,}") from error
    except Exception as error:  # Pillow's decoders raise whatever they stumble over
        raise InvalidInput(f"{what} is {_damage(kind, error)}") from error


def _open(data: bytes, kind: str, limits: MediaLimits) -> "Image.Image":
    """The picture with its header read, nothing decoded.

    `Image.open` would import the plugins of all formats, and warn of or refuse large pictures before their size can be
    asked for. The format is known here, so its plugin is asked itself.
    """
    from PIL import BmpImagePlugin, GifImagePlugin, Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin
    from PIL import WebPImagePlugin as WebP

    # What is left of Pillow's check (the frames of a GIF, the tiles of a TIFF) goes by the service's limit, too.
    Image.MAX_IMAGE_PIXELS = limits.max_pixels
    stream = io.BytesIO(data)
    plugins: dict[str, Callable[[io.BytesIO], Image.Image]] = {
        "JPEG": JpegImagePlugin.jpeg_factory,
        "PNG": PngImagePlugin.PngImageFile,
        "WebP": WebP.WebPImageFile,
        "GIF": GifImagePlugin.GifImageFile,
        "BMP": BmpImagePlugin.BmpImageFile,
        "TIFF": TiffImagePlugin.TiffImageFile,
    }
    return plugins[kind](stream)


def _require_size(size: tuple[int, int], kind: str, limits: MediaLimits, what: str) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise InvalidInput(f"{what} is a {kind} of {width} x {height} pixels")
    if width * height > limits.max_pixels:
        raise TooLarge(
            f"{what} is a picture of {width:,} x {height:,} = {width * height:,} pixels; limits.max_pixels is "
            f"{limits.max_pixels:,}"
        )


def _upright_rgb(image: "Image.Image") -> "Image.Image":
    """What `load_image` does, in place where it copies: a picture has 4 bytes a pixel."""
    from PIL import Image, ImageOps

    ImageOps.exif_transpose(image, in_place=True)
    if not image.mode.startswith("I;16"):
        return image.convert("RGB")
    import numpy as np

    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")


def _damage(kind: str, error: Exception) -> str:
    reason = str(error)
    if "truncated" in reason.lower() or isinstance(error, EOFError):
        return f"a {kind} that ends too early"
    return f"a damaged {kind} ({reason or type(error).__name__})"
