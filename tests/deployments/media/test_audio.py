"""read_audio: the samples of the recording, limits on what it decodes to, and a clean answer to whatever bytes."""

import io
import os
import subprocess
import sys
import time
import wave
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest
import soxr

from deployments.errors import InvalidInput, ServiceError, TooLarge, UnsupportedMedia
from deployments.media.audio import read_audio
from deployments.media.content import Media
from deployments.media.limits import MediaLimits
from tests.deployments.media.samples import (
    SOUND_FORMATS,
    encoded,
    film,
    mutations,
    picture_bytes,
    sine,
    wav,
)
from tests.deployments.media.test_image import COLOURS

LIMITS = MediaLimits()
RATE = 16_000
NOISE = np.random.default_rng(0).integers(-32768, 32768, (RATE, 2), dtype=np.int16)


def read(data: bytes, rate: int = RATE, limits: MediaLimits = LIMITS) -> np.ndarray:
    return read_audio(Media(data), rate, limits)


def test_the_samples_of_a_wav_at_the_right_rate_are_exactly_its_own():
    data = wav(NOISE[:, 0].copy())
    with wave.open(io.BytesIO(data)) as file:
        expected = np.frombuffer(file.readframes(RATE), np.int16).astype(np.float32) / 32768
    got = read(data)
    assert (got.dtype, got.flags.owndata, got.flags.c_contiguous) == (np.float32, True, True)
    np.testing.assert_array_equal(got, expected)


def test_channels_are_averaged():
    np.testing.assert_array_equal(read(wav(NOISE)), NOISE.astype(np.float32).mean(axis=1) / 32768)
    both = np.stack([NOISE[:, 0], np.zeros(RATE, np.int16)], axis=1)
    np.testing.assert_array_equal(read(wav(both)), NOISE[:, 0].astype(np.float32) / 65536)


def test_float_samples_beyond_full_scale_are_kept():
    samples = np.linspace(-3, 3, 1000, dtype=np.float32)
    np.testing.assert_array_equal(read(wav(samples)), samples)


@pytest.mark.parametrize("name", SOUND_FORMATS)
@pytest.mark.parametrize("stereo", [False, True])
def test_a_sine_stays_a_sine_in_every_format(name, stereo):
    if stereo and name == "amr":
        pytest.skip("AMR has one channel")
    got = read(encoded(name, sine(2, SOUND_FORMATS[name][2]), stereo=stereo))
    assert abs(len(got) - 2 * RATE) <= 0.08 * RATE  # lossy encoders pad
    middle = got[RATE // 2 : -RATE // 2]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert spectrum.argmax() * RATE / len(middle) == pytest.approx(440, abs=2)
    assert np.sqrt((middle**2).mean()) == pytest.approx(0.5 / np.sqrt(2), rel=0.15)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_resampling(rate):
    samples = sine(3.3, rate)
    got = read(wav(samples, rate))
    assert abs(len(got) - round(len(samples) * RATE / rate)) <= 1
    expected = sine(3.3, RATE)[: len(got)]
    edge = 200
    np.testing.assert_allclose(got[edge : len(expected) - edge], expected[edge:-edge], atol=1e-4)
    np.testing.assert_allclose(got, soxr.resample(samples, rate, RATE), atol=1e-6)  # in pieces as in one


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF, 2000 + 44])
def test_a_wav_that_does_not_know_its_size_is_read_to_its_end(size):
    np.testing.assert_array_equal(read(wav(NOISE[:1000, 0].copy(), size=size)), NOISE[:1000, 0] / np.float32(32768))


@pytest.mark.parametrize("name", ["wav", "wav-float", "wav-24", "flac", "aiff", "m4a", "alac"])
def test_recordings_that_are_cut_short(name):
    data = encoded(name, sine(4, SOUND_FORMATS[name][2]))
    with pytest.raises(InvalidInput, match="^inputs is .*truncated"):
        read(data[: len(data) * 6 // 10])


@pytest.mark.parametrize("name", ["mp3", "aac", "opus", "webm", "amr", "vorbis"])
def test_streams_end_where_they_end(name):
    data = encoded(name, sine(4, SOUND_FORMATS[name][2]))
    assert 1.5 < len(read(data[: len(data) * 6 // 10])) / RATE < 3


def test_junk_around_the_frames_of_an_mp3():
    data = encoded("mp3", sine(2, 44_100))
    for other in (data + b"TAG" + bytes(125), data + b"\xff" * 500, b"ID3\4\0\0\0\0\0\x7f" + bytes(127) + data):
        assert len(read(other)) == pytest.approx(2 * RATE, abs=0.1 * RATE)


def test_the_limit_on_seconds():
    data = wav(NOISE[:, 0].copy())
    assert len(read(data, limits=MediaLimits(max_audio_seconds=1))) == RATE
    with pytest.raises(TooLarge, match=r"^inputs is longer than 0.99 s \(limits.max_audio_seconds\)$"):
        read(data, limits=MediaLimits(max_audio_seconds=0.99))


GROWN = """
import re, sys
from deployments.errors import TooLarge
from deployments.media.content import Media
from deployments.media.limits import MediaLimits
from deployments.media.audio import read_audio

def peak():  # of this program alone; getrusage's begins with that of the process that started it
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024

data = open(sys.argv[1], "rb").read()
read_audio(Media(open(sys.argv[2], "rb").read()), 16000, MediaLimits())  # what the libraries themselves need
before = peak()
try:
    print(len(read_audio(Media(data), 16000, MediaLimits(max_audio_seconds=float(sys.argv[3])))))
except TooLarge as error:
    print(error)
print(peak() - before)
"""


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def grown(folder, data: bytes, max_seconds: float) -> tuple[str, int]:
    """What reading says, and by how many MiB the process grew at its peak."""
    (folder / "file").write_bytes(data)
    (folder / "small").write_bytes(encoded("flac", sine(1, RATE)))
    command = [sys.executable, "-c", GROWN, str(folder / "file"), str(folder / "small"), str(max_seconds)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    said, mib = ran.stdout.splitlines()
    assert ran.stderr == ""
    return said, int(mib)


@on_linux
def test_hours_of_silence_in_a_small_file_are_refused_in_time(tmp_path):
    hours = encoded("flac", np.zeros(3 * 3600 * RATE, np.float32))
    assert len(hours) < 3_000_000
    before = time.monotonic()
    said, mib = grown(tmp_path, hours, 600)
    assert said == "inputs is longer than 600 s (limits.max_audio_seconds)"
    assert 30 < mib < 60  # ten minutes are 37
    assert time.monotonic() - before < 30


@on_linux
def test_memory_is_the_result_and_little_more(tmp_path):
    said, mib = grown(tmp_path, encoded("flac", np.zeros(1800 * RATE, np.float32)), 1800)
    assert int(said) == 1800 * RATE
    assert 105 < mib < 110 + 25  # the result is 110 MiB


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"%PDF-1.7 and so on", "it looks like PDF$"),
        (picture_bytes(COLOURS, "PNG"), "it looks like PNG$"),
        (picture_bytes(COLOURS, "JPEG"), "it looks like JPEG$"),
        (b"hello world " * 30, r"AIFF, AMR\)$"),
        (bytes(1000), r"AIFF, AMR\)$"),
        (b"RIFF\x20\0\0\0AVI LIST" + bytes(200), "it looks like AVI$"),
    ],
)
def test_no_recordings(data, message):
    with pytest.raises(UnsupportedMedia, match="^inputs is not in a supported audio format .*" + message):
        read(data)


def test_a_film_without_sound():
    with pytest.raises(UnsupportedMedia, match="^inputs has no audio, only video$"):
        read(film())


LISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:9,\n{0}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{0}'\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    "url": "{0}",
    "dash": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{0}</BaseURL></MPD>',
}


def test_ffmpeg_left_alone_reads_local_files(tmp_path, monkeypatch):
    """What the next test is about; should this one fail, FFmpeg has become safer."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "local.wav").write_bytes(wav(NOISE[:, 0].copy()))
    with av.open(io.BytesIO(LISTS["concat"].format("local.wav").encode())) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) == RATE


def test_threads_read_side_by_side():
    files = [encoded(name, sine(5, SOUND_FORMATS[name][2])) for name in ("mp3", "opus", "wav", "m4a")] * 3
    with ThreadPoolExecutor(4) as threads:
        for got, data in zip(threads.map(read, files), files, strict=True):
            np.testing.assert_array_equal(got, read(data))


@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.parametrize("scheme", ["", "file:", "http://127.0.0.1:9"])
def test_files_that_name_other_files_reach_nothing(kind, scheme, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a name without a folder is one that FFmpeg takes for safe
    (tmp_path / "local.wav").write_bytes(wav(NOISE[:, 0].copy()))
    for name in ("local.wav", str(tmp_path / "local.wav")):
        with pytest.raises(UnsupportedMedia, match="^inputs is not in a supported audio format"):
            read(LISTS[kind].format(scheme + name).encode())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (wav(np.zeros(0, np.int16)), "has no audio|is a damaged or truncated WAV"),
        (wav(NOISE[:100, 0].copy(), rate=0), "is a damaged or truncated WAV|has a sampling rate"),
        (wav(NOISE[:, 0].copy(), rate=1), "has a sampling rate of 1 Hz; it must be 1,000 to 768,000 Hz"),
        (wav(NOISE[:, 0].copy(), rate=10_000_000), "has a sampling rate of 10,000,000 Hz"),
        (wav(np.zeros((100, 33), np.int16)), "has 33 channels; the limit is 32"),
        (wav(NOISE[:, 0].copy())[:30], "is a damaged or truncated WAV"),
        (encoded("flac", sine(1, RATE))[:20], "is a damaged or truncated FLAC"),
        (b"fLaC" + bytes(500), "is a damaged or truncated FLAC"),
        (b"OggS" + bytes(500), "is a damaged or truncated Ogg"),
    ],
)
def test_impossible_recordings(data, message):
    with pytest.raises(InvalidInput, match=f"^inputs ({message})"):
        read(data)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rate", [RATE, 44_100])
def test_samples_that_are_no_numbers(value, rate):
    samples = sine(10, rate)
    samples[int(7.25 * rate)] = value
    with pytest.raises(InvalidInput, match="^inputs has a sample that is not a finite number at 7.250 s$"):
        read(wav(samples, rate))


def test_errors_name_the_input():
    with pytest.raises(UnsupportedMedia, match=r"^inputs\[2\] is not in a supported audio format"):
        read_audio(Media(b"no"), RATE, LIMITS, field="inputs[2]")


def read_or_error(data: bytes, limits: MediaLimits) -> np.ndarray | ServiceError:
    try:
        return read(data, limits=limits)
    except ServiceError as error:
        return error


@pytest.mark.parametrize("name", SOUND_FORMATS)
def test_whatever_the_bytes_it_is_sound_or_a_service_error(name, capfd):
    sample = encoded(name, sine(0.5, SOUND_FORMATS[name][2]))
    limits = MediaLimits(max_audio_seconds=2)
    read_ones = 0
    for data in mutations(sample, 300, seed=len(name)):
        got = read_or_error(data, limits)
        if isinstance(got, ServiceError):
            assert got.status in (413, 415, 422)
            assert got.message.startswith("inputs ")
        else:
            assert np.isfinite(got).all()
            assert 0 < len(got) <= 2 * RATE + 1
            read_ones += 1
    assert 0 < read_ones < 300
    assert capfd.readouterr() == ("", "")


def test_it_opens_no_file_beside():
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _ in range(5):
        read(wav(NOISE))
        with pytest.raises(ServiceError):
            read(b"RIFF" + bytes(100))
    assert before == 0 or len(os.listdir("/proc/self/fd")) <= before


TONES = {440.0: 1.0, 660.0: 1.5}  # seconds by frequency


def strongest(samples: np.ndarray, rate: int = RATE) -> float:
    """The strongest frequency, in Hz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax() * rate / len(samples))


def of_both_tones(samples: np.ndarray, delay_s: float = 0.06) -> None:
    """It is one tone after the other, up to what an encoder adds."""
    first, second = TONES.values()
    assert len(samples) / RATE == pytest.approx(first + second, abs=4 * delay_s)
    assert strongest(samples[RATE // 4 : 3 * RATE // 4]) == pytest.approx(440, abs=3)
    assert strongest(samples[int(1.3 * RATE) : int(2.3 * RATE)]) == pytest.approx(660, abs=3)


@pytest.mark.parametrize(
    ("name", "rates", "stereo"),
    [
        ("vorbis", (44_100, 22_050), (True, True)),
        ("opus", (48_000, 48_000), (False, True)),
        ("mp3", (44_100, 48_000), (True, True)),
    ],
)
def test_a_file_of_several_is_read_to_its_end(name, rates, stereo):
    parts = [
        encoded(name, sine(seconds, rate, hertz), stereo=is_stereo, rate=rate)
        for (hertz, seconds), rate, is_stereo in zip(TONES.items(), rates, stereo, strict=True)
    ]
    of_both_tones(read(b"".join(parts)))


def test_seconds_of_all_rates_count_towards_the_limit():
    data = encoded("mp3", sine(2, 44_100), rate=44_100) + encoded("mp3", sine(2, 22_050), rate=22_050)
    assert len(read(data, limits=MediaLimits(max_audio_seconds=4.5))) > 3.9 * RATE
    with pytest.raises(TooLarge, match=r"longer than 3 s"):
        read(data, limits=MediaLimits(max_audio_seconds=3))


def test_an_ogg_of_too_many_files_is_refused():
    part = encoded("opus", sine(0.02, 48_000))
    assert len(read(part * 5)) > 0
    with pytest.raises(InvalidInput, match=r"an Ogg of 300 files; the limit is 256"):
        read(part * 300)


@pytest.mark.parametrize("name", ["m4a", "webm"])
def test_a_bad_frame_is_skipped(name):
    rate = {"m4a": 44_100}.get(name, 48_000)
    data = encoded(name, sine(3, rate))
    middle = len(data) // 2
    got = read(data[:middle] + bytes(24) + data[middle + 24 :])
    assert len(got) == pytest.approx(len(read(data)), abs=0.2 * RATE)


def test_many_bad_frames_are_a_damaged_file():
    data = bytearray(encoded("m4a", sine(3, 44_100)))
    start = data.index(b"mdat") + 200
    for offset in range(start, len(data) - 2000, 40):
        data[offset : offset + 20] = b"\xff" * 20
    with pytest.raises(InvalidInput, match="damaged"):
        read(bytes(data))


CASES = Path(__file__).parents[4] / "shared" / "cases"  # beside the checkout where there is one


@pytest.mark.skipif(not CASES.is_dir(), reason="no files of cases beside the checkout")
@pytest.mark.parametrize(
    ("name", "seconds"),
    [("chained.opus", 14.2), ("chained_rates.ogg", 14.2), ("rates.mp3", 14.26), ("m4a_badframe.m4a", 7.06),
     ("m4a_cutlast.m4a", 7.08)],
)  # fmt: skip
def test_what_can_be_decoded_is_decoded(name, seconds):
    assert len(read((CASES / name).read_bytes())) / RATE == pytest.approx(seconds, abs=0.02)
