"""Decodes images as `transformers.image_utils.load_image` does, but checks the size before decoding."""

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

from deployments.errors import InvalidInput, ServiceError, TooLarge, UnsupportedMedia
from deployments.media.content import Media
from deployments.media.limits import MediaLimits
from deployments.media.sniff import IMAGE_FORMATS, sniff, unsupported

if TYPE_CHECKING:
    from PIL import Image


def read_image(media: Media, limits: MediaLimits, *, field: str = "inputs") -> "Image.Image":
    """Decode an image to RGB, rotated by its EXIF orientation; of several frames or pages the first.

    Modes are converted as by `Image.convert("RGB")`, which drops alpha. The exception is 16-bit greyscale, which Pillow
    would clip at 255: here the upper 8 bits are used, as Pillow does for 16-bit colours.

    Args:
        media: the file.
        limits: `max_pixels` is compared with the header before decoding.
        field: name of the input in messages.

    Raises:
        UnsupportedMedia: an unsupported format.
        TooLarge: more pixels than `limits.max_pixels`.
        InvalidInput: empty, damaged, or without pixels.
    """
    data = media.content(field)
    kind = sniff(data)
    if kind not in IMAGE_FORMATS:
        raise UnsupportedMedia(unsupported("image", IMAGE_FORMATS, data, field))
    from PIL import Image

    try:
        with _open(data, kind, limits) as image:
            _require_size(image.size, kind, limits, field)
            return _upright_rgb(image)
    except ServiceError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooLarge(
            f"{field} is a {kind} with too many pixels; limits.max_pixels is {limits.max_pixels:,}"
        ) from error
    except Exception as error:  # Pillow's decoders raise all kinds of exceptions
        raise InvalidInput(f"{field} is {_damage(kind, error)}") from error


def _open(data: bytes, kind: str, limits: MediaLimits) -> "Image.Image":
    """Open an image and read its header only.

    `Image.open` would import the plugins of all formats, and warn about or reject large images before their size can be
    read. The format is known here, so its plugin is called directly.
    """
    from PIL import BmpImagePlugin, GifImagePlugin, Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin
    from PIL import WebPImagePlugin as WebP

    # Pillow's own checks (frames of a GIF, tiles of a TIFF) use the service's limit as well.
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


def _require_size(size: tuple[int, int], kind: str, limits: MediaLimits, field: str) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise InvalidInput(f"{field} is a {kind} of {width} x {height} pixels")
    if width * height > limits.max_pixels:
        raise TooLarge(
            f"{field} is an image of {width:,} x {height:,} = {width * height:,} pixels; limits.max_pixels is "
            f"{limits.max_pixels:,}"
        )


def _upright_rgb(image: "Image.Image") -> "Image.Image":
    """The same as `load_image`, but in place instead of copying; an image takes 4 bytes per pixel."""
    from PIL import Image

    image = _upright(image)
    if not image.mode.startswith("I;16"):
        return image.convert("RGB")
    import numpy as np

    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")


def _upright(image: "Image.Image") -> "Image.Image":
    """The image turned as its EXIF orientation says.

    As Pillow's `ImageOps.exif_transpose`, which also writes the other tags anew and fails on one that is out of range.
    """
    from PIL import ExifTags, Image

    turn = Image.Transpose
    turns = {
        2: turn.FLIP_LEFT_RIGHT,
        3: turn.ROTATE_180,
        4: turn.FLIP_TOP_BOTTOM,
        5: turn.TRANSPOSE,
        6: turn.ROTATE_270,
        7: turn.TRANSVERSE,
        8: turn.ROTATE_90,
    }
    image.load()  # a TIFF is turned when it is loaded
    orientation = image.getexif().get(ExifTags.Base.Orientation)
    return image.transpose(turns[orientation]) if orientation in turns else image


def _damage(kind: str, error: Exception) -> str:
    reason = str(error)
    if "truncated" in reason.lower() or isinstance(error, EOFError):
        return f"a truncated {kind}"
    return f"a damaged {kind} ({reason or type(error).__name__})"
