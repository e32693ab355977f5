"""read_image: the pixels that transformers reads, limits before decoding, and a clean answer to whatever bytes."""

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from transformers.image_utils import load_image

from deployments.errors import InvalidInput, ServiceError, TooLarge, UnsupportedMedia
from deployments.media.content import Media
from deployments.media.image import read_image
from deployments.media.limits import MediaLimits
from tests.deployments.media.samples import PICTURE_FORMATS, mutations, picture_bytes, pixels

LIMITS = MediaLimits()
COLOURS = Image.fromarray(pixels())


def read(data: bytes, limits: MediaLimits = LIMITS) -> Image.Image:
    return read_image(Media(data), limits)


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG with this header, these chunks and no picture data."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = b""
    for name, data in ((b"IHDR", head), *chunks, (b"IEND", b"")):
        body += struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("kind", PICTURE_FORMATS)
@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA", "CMYK", "I", "F"])
def test_every_mode_reads_as_transformers_reads_it(kind, mode):
    image = COLOURS.convert("L").convert(mode) if mode in ("LA", "I", "F") else COLOURS.convert(mode)
    if mode == "RGBA":
        image.putalpha(Image.fromarray(pixels()[..., 0]))
    try:
        data = picture_bytes(image, kind)
    except (OSError, ValueError):
        pytest.skip(f"{kind} has no mode {mode}")
    got = read(data)
    assert (got.mode, got.size) == ("RGB", (40, 30))
    np.testing.assert_array_equal(got, load_image(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_pictures_stand_upright(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = picture_bytes(COLOURS, kind, exif=exif)
    got = read(data)
    assert got.size == ((30, 40) if orientation > 4 else (40, 30))
    np.testing.assert_array_equal(got, load_image(Image.open(io.BytesIO(data))))


def test_a_broken_tag_beside_the_orientation_does_not_matter():
    """A resolution that is the signed rational -1/0, which Pillow reads and cannot write."""
    orientation, resolution = struct.pack("<HHII", 0x0112, 3, 1, 6), struct.pack("<HHII", 0x011A, 10, 1, 38)
    tags = struct.pack("<2sHIH", b"II", 42, 8, 2) + orientation + resolution + struct.pack("<Iii", 0, -1, 0)
    data = picture_bytes(COLOURS, "JPEG", exif=b"Exif\0\0" + tags)
    whole = Image.Exif()
    whole[0x0112] = 6
    upright = picture_bytes(COLOURS, "JPEG", exif=whole)
    assert read(data).size == (30, 40)
    np.testing.assert_array_equal(read(data), read(upright))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_of_grey_are_scaled_not_clipped(kind):
    grey = np.array([[0, 255, 256, 0x8000, 65535]], dtype=np.uint16)
    got = np.asarray(read(picture_bytes(Image.fromarray(grey), kind)))
    assert got[0].tolist() == [[value] * 3 for value in (0, 0, 1, 128, 255)]


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG"])
def test_the_first_of_several_frames(kind):
    data = picture_bytes(COLOURS, kind, save_all=True, append_images=[Image.new("RGB", (40, 30), "red")])
    np.testing.assert_array_equal(read(data), load_image(Image.open(io.BytesIO(data))))


def test_long_and_narrow_pictures_are_read():
    assert read(picture_bytes(Image.new("L", (1, 20_000)))).size == (1, 20_000)


@pytest.mark.parametrize("kind", PICTURE_FORMATS)
def test_the_limit_on_pixels(kind):
    data = picture_bytes(COLOURS, kind)
    assert read(data, MediaLimits(max_pixels=1200)).size == (40, 30)
    message = "^inputs is an image of 40 x 30 = 1,200 pixels; limits.max_pixels is 1,199$"
    with pytest.raises(TooLarge, match=message):
        read(data, MediaLimits(max_pixels=1199))
    with pytest.raises(TooLarge, match="limits.max_pixels is 500$"):  # beyond twice the limit Pillow speaks up itself
        read(data, MediaLimits(max_pixels=500))


def test_the_limit_is_looked_at_before_memory_is_spent():
    bomb = png(20_000, 20_000, (b"IDAT", zlib.compress(bytes(1_000_000))))
    tracemalloc.start()
    with pytest.raises(TooLarge, match="20,000 x 20,000 = 400,000,000 pixels"):  # and no warning, which would raise
        read(bomb)
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


def test_a_higher_limit_than_pillows_own_is_kept_without_a_warning():
    wide = picture_bytes(Image.new("1", (100_000, 1_000)))
    assert read(wide, MediaLimits(max_pixels=100_000_000)).size == (100_000, 1_000)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"%PDF-1.7 and so on", "it looks like PDF$"),
        (b"RIFF\0\0\0\0WAVEfmt ", "it looks like WAV$"),
        (b"\0\0\0\x18ftypheic", "it looks like HEIC$"),
        (b"hello", r"PNG, JPEG, WebP, GIF, BMP, TIFF\)$"),
        (b"\0" * 100, r"\)$"),
        (b"\0\0\1\0\1\0\x10\x10", r"\)$"),  # ICO: Pillow reads it, we do not
        (b"%!PS-Adobe-3.0 EPSF-3.0", r"\)$"),
    ],
)
def test_no_pictures(data, message):
    with pytest.raises(UnsupportedMedia, match="^inputs is not in a supported image format .*" + message):
        read(data)


@pytest.mark.parametrize("kind", PICTURE_FORMATS)
def test_pictures_that_end_too_early(kind):
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    data = picture_bytes(Image.fromarray(noise), kind)
    for length in (12, 40, len(data) // 10, len(data) // 2):
        with pytest.raises((InvalidInput, UnsupportedMedia), match="^inputs is (a|not in a) "):
            read(data[:length])
    with pytest.raises(InvalidInput, match=f"(?i)^inputs is a truncated {kind}|^inputs is a damaged {kind}"):
        read(data[: len(data) // 2])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (png(0, 5), "is a (damaged )?PNG"),
        (png(5, 5), "is a damaged PNG"),
        (b"GIF89a" + bytes(7) + b";", "is a damaged GIF"),
        (png(5, 5, (b"zTXt", b"a\0\0" + zlib.compress(bytes(5_000_000)))), "is a damaged PNG"),
        (png(5, 5, (b"iCCP", b"a\0\0" + zlib.compress(bytes(70_000_000), 1))), "is a damaged PNG"),
    ],
)
def test_damaged_pictures(data, message):
    with pytest.raises(InvalidInput, match="^inputs " + message):
        read(data)


def test_too_much_text_in_a_png():
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "x" * 3_000_000, zip=True)
    with pytest.raises(InvalidInput, match="^inputs is a damaged PNG"):
        read(picture_bytes(COLOURS, pnginfo=info))


def test_errors_name_the_input():
    with pytest.raises(UnsupportedMedia, match=r"^inputs\[2\] is not in a supported image format"):
        read_image(Media(b"no"), LIMITS, field="inputs[2]")


def read_or_error(data: bytes, limits: MediaLimits) -> Image.Image | ServiceError:
    try:
        return read(data, limits)
    except ServiceError as error:
        return error


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about metadata
@pytest.mark.parametrize("kind", PICTURE_FORMATS)
def test_whatever_the_bytes_it_is_a_picture_or_a_service_error(kind, capfd):
    limits = MediaLimits(max_pixels=1_000_000)
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {} if kind in ("GIF", "BMP") else {"exif": exif}
    compressed = {"compression": "tiff_lzw"} if kind == "TIFF" else {}
    samples = [picture_bytes(COLOURS, kind, **options), picture_bytes(COLOURS.convert("L"), kind, **compressed)]
    read_ones = 0
    for index, sample in enumerate(samples):
        for data in mutations(sample, 1000, seed=index):
            got = read_or_error(data, limits)
            if isinstance(got, ServiceError):
                assert got.status in (413, 415, 422)
                assert got.message.startswith("inputs ")
            else:
                assert got.mode == "RGB"
                read_ones += 1
    assert 0 < read_ones < 2000
    assert kind == "TIFF" or capfd.readouterr() == ("", "")  # libtiff complains aloud, and Pillow lets it
