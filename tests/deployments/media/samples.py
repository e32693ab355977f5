"""Pictures and recordings that the tests make themselves."""

import io
import random
import struct
from fractions import Fraction

import av
import numpy as np
from PIL import Image

PICTURE_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
# name: container, codec, sampling rate
SOUND_FORMATS = {
    "wav": ("wav", "pcm_s16le", 16_000),
    "wav-float": ("wav", "pcm_f32le", 16_000),
    "wav-24": ("wav", "pcm_s24le", 16_000),
    "wav-8": ("wav", "pcm_u8", 16_000),
    "flac": ("flac", "flac", 16_000),
    "opus": ("ogg", "libopus", 48_000),
    "vorbis": ("ogg", "vorbis", 44_100),
    "mp3": ("mp3", "libmp3lame", 44_100),
    "m4a": ("mp4", "aac", 44_100),
    "alac": ("mp4", "alac", 16_000),
    "aac": ("adts", "aac", 44_100),
    "webm": ("webm", "libopus", 48_000),
    "aiff": ("aiff", "pcm_s16be", 16_000),
    "amr": ("amr", "libopencore_amrnb", 8_000),
}


def pixels(width: int = 40, height: int = 30) -> np.ndarray:
    ramp = np.linspace(0, 255, width), np.linspace(0, 255, height)
    return np.stack(np.broadcast_arrays(ramp[0][None], ramp[1][:, None], 90.0), axis=-1).astype(np.uint8)


def picture_bytes(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def sine(seconds: float, rate: int, hertz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def wav(samples: np.ndarray, rate: int = 16_000, *, size: int | None = None) -> bytes:
    """A WAV of `[samples]` or `[samples, channels]`, int16 or float32; `size` is what its header says of the data."""
    code, channels = (3 if samples.dtype == np.float32 else 1), 1 if samples.ndim == 1 else samples.shape[1]
    data, width = samples.tobytes(), samples.dtype.itemsize * channels
    size = len(data) if size is None else size
    head = struct.pack("<HHIIHH", code, channels, rate, min(rate * width, 2**32 - 1), width, samples.itemsize * 8)
    body = b"WAVEfmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", size) + data
    return b"RIFF" + struct.pack("<I", min(36 + size, 2**32 - 1)) + body


def encoded(name: str, samples: np.ndarray, *, stereo: bool = False, rate: int | None = None) -> bytes:
    """`[samples]` at a rate or the format's own, in one of `SOUND_FORMATS`."""
    kind, codec, usual = SOUND_FORMATS[name]
    rate = rate or usual
    layout = "stereo" if stereo or codec == "vorbis" else "mono"  # this encoder of Vorbis knows only two channels
    channels = 2 if layout == "stereo" else 1
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=kind) as container:
        options = {"strict": "experimental"} if codec == "vorbis" else {}
        stream = container.add_stream(codec, rate=rate, layout=layout, options=options)
        resampler = av.AudioResampler(format=stream.format, layout=layout, rate=rate, frame_size=stream.frame_size)
        for start in range(0, len(samples), rate):
            pcm = (samples[start : start + rate] * 32767).round().astype(np.int16)
            frame = av.AudioFrame.from_ndarray(pcm.repeat(channels)[None], format="s16", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            for piece in resampler.resample(frame):
                container.mux(stream.encode(piece))
        for piece in resampler.resample(None):
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def film() -> bytes:
    """An MP4 with pictures and no sound."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=10, width=32, height=32, pix_fmt="yuv420p")
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels(32, 32), format="rgb24")))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def mutations(data: bytes, number: int, seed: int) -> list[bytes]:
    """The file with bytes changed, pieces left out, doubled or cut off: mostly near its beginning."""
    chance, made = random.Random(seed), []
    for _ in range(number):
        other = bytearray(data)
        for _ in range(chance.choice((1, 1, 3, 20))):
            reach = min(len(other), chance.choice((64, 512, len(other))))
            place, length = chance.randrange(reach), chance.choice((1, 4, 40))
            match chance.randrange(5):
                case 0 | 1:
                    other[place] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))
                case 2:
                    del other[place : place + length]
                case 3:
                    other[place:place] = other[place : place + length]
                case _:
                    del other[max(1, chance.randrange(len(other))) :]
            if len(other) < 2:
                break
        made.append(bytes(other) or b"\0")
    return made
