"""sniff: names for what files begin with."""

import pytest
from PIL import Image

from deployments.media.sniff import AUDIO_FORMATS, IMAGE_FORMATS, sniff
from tests.deployments.media.samples import PICTURE_FORMATS, SOUND_FORMATS, encoded, picture_bytes, pixels, sine


@pytest.mark.parametrize("kind", PICTURE_FORMATS)
def test_pictures(kind):
    assert sniff(picture_bytes(Image.fromarray(pixels()), kind)).upper() == kind
    assert kind in map(str.upper, IMAGE_FORMATS)


@pytest.mark.parametrize("name", SOUND_FORMATS)
def test_sounds(name):
    rate = SOUND_FORMATS[name][2]
    assert sniff(encoded(name, sine(0.2, rate))) in AUDIO_FORMATS


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"%PDF-1.7", "PDF"),
        (b"PK\x03\x04", "ZIP"),
        (b"\n <!DOCTYPE HTML>", "HTML"),
        (b"<svg xmlns", "SVG"),
        (b'{"a": 1}', "JSON"),
        (b"RIFF\0\0\0\0AVI ", "AVI"),
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (b"\0\0\0\x18ftypavif", "AVIF"),
        (b"#EXTM3U", "an M3U playlist"),
        (b"BMW is a car, and no picture", None),
        (b"\xff\xfeh\0i\0", None),
        (b"\xff", None),
        (b"\0", None),
        (b"", None),
    ],
)
def test_others(data, name):
    assert sniff(data) == name
