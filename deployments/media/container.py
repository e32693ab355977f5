"""Opens a recording with FFmpeg (PyAV) so that a crafted file reaches nothing but itself, and reads it by frames."""

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

from deployments.errors import InvalidInput, UnsupportedMedia
from deployments.media.sniff import SOUNDS, not_a, sniff

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer

# Playlists, lists of files and network descriptions are formats, too, for FFmpeg, and it opens what they name: a
# client could have files of this machine read. These formats hold their sound themselves.
FORMATS = ("wav", "flac", "ogg", "mp3", "aac", "mov", "matroska", "aiff", "amr")
_PCM = [f"pcm_{kind}{end}" for kind in ("s16", "s24", "s32", "f32", "f64") for end in ("le", "be")]
CODECS = (
    *_PCM,
    *("pcm_u8", "pcm_s8", "pcm_alaw", "pcm_mulaw", "adpcm_ms", "adpcm_ima_wav"),
    *("flac", "alac", "mp3float", "mp3", "aac", "opus", "libopus", "vorbis", "amrnb", "amrwb"),
)
MAX_CHANNELS = 32
MAX_BAD_SHARE = 0.1  # of the packets of a stream; players skip over junk between the frames of an MP3, and so do we

# Seconds by which the sound may be shorter than declared, for formats that declare it reliably. MP4 counts padding.
_DECLARING = {"flac": 0.1, "aiff": 0.1, "mov": 0.5}
_STREAMS = ("mp3", "aac", "amr")
_OPTIONS = {
    "format_whitelist": ",".join(FORMATS),
    "codec_whitelist": ",".join(CODECS),  # a film's pictures are not even looked at
    "protocol_whitelist": "none",
    "threads": "1",
    "max_size": str(1 << 14),  # bytes of a WAV's packets: larger steps than its own, and beyond this slower again
}
_UNKNOWN_SIZE = 0x7FFF0000  # and above: what encoders write that do not know yet how much will come


class Recording:
    """An open recording. Close it, or use it in a `with` statement.

    Args:
        data: the file.
        what: names the input in messages.

    Attributes:
        kind: the format's name, for messages.
        stream: the first stream of sound.

    Raises:
        UnsupportedMedia: no sound, or none that is read.
        InvalidInput: damaged before the first sample, or cut short (WAV).
    """

    def __init__(self, data: bytes, what: str) -> None:
        self.what = what
        self.kind = sniff(data) or "recording"
        if self.kind == "WAV":
            _require_whole_wav(data, what)
        self._container = _open(data, what)
        try:
            self.stream = self._first_sound()
        except BaseException:
            self._container.close()
            raise

    def __enter__(self) -> "Recording":
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def frames(self) -> Iterator["AudioFrame"]:
        """Frames as they are decoded, one at a time.

        Raises:
            av.FFmpegError: damaged.
        """
        import av

        skips = self._container.format.name in _STREAMS
        packets = bad = 0
        for packet in self._container.demux(self.stream):
            packets += 1
            try:
                yield from packet.decode()
            except av.FFmpegError:
                bad += 1
                if not skips:
                    raise
        if bad > 1 + packets * MAX_BAD_SHARE:
            raise InvalidInput(f"{self.what} is a damaged {self.kind}: {bad:,} of its {packets:,} frames are not sound")

    def require_whole(self, seconds: float) -> None:
        """Refuse a recording of which clearly less was there than its header declares.

        Raises:
            InvalidInput: cut short.
        """
        format_name = self._container.format.name.split(",")[0]
        duration, unit = self.stream.duration, self.stream.time_base
        if format_name not in _DECLARING or duration is None or unit is None:
            return
        declared = float(duration * unit)
        if seconds < declared - _DECLARING[format_name]:
            raise InvalidInput(
                f"{self.what} is cut short: its header declares {declared:,.2f} s, {seconds:,.2f} s are there"
            )

    def _first_sound(self) -> "AudioStream":
        streams = self._container.streams
        if not streams.audio:
            kinds = sorted({stream.type for stream in streams})
            raise UnsupportedMedia(f"{self.what} holds no sound, only {' and '.join(kinds) or 'nothing'}")
        stream = streams.audio[0]
        codec = stream.codec_context
        if codec is None or codec.name not in CODECS:
            name = "an unknown codec" if codec is None else codec.name
            raise UnsupportedMedia(f"{self.what} holds sound in {name}, which is not read; FLAC, MP3 and Opus are")
        if not 1 <= stream.channels <= MAX_CHANNELS:
            raise InvalidInput(f"{self.what} has {stream.channels:,} channels; 1 to {MAX_CHANNELS} are read")
        codec.thread_count = 1  # the callers' threads are the parallelism
        return stream


def _open(data: bytes, what: str) -> "InputContainer":
    import av

    try:
        return av.open(io.BytesIO(data), "r", options=_OPTIONS, metadata_errors="replace")
    except (av.FFmpegError, ValueError) as error:
        kind = sniff(data)
        if kind not in SOUNDS:
            raise UnsupportedMedia(not_a("recording", SOUNDS, data, what)) from error
        raise InvalidInput(f"{what} is a {kind} that is damaged or ends too early") from error


def _require_whole_wav(data: bytes, what: str) -> None:
    """FFmpeg takes what is there of a WAV for all of it; its header says how much there should be.

    Raises:
        InvalidInput: cut short.
    """
    if data[:4] != b"RIFF":
        return  # the 64-bit relatives keep the size elsewhere
    place = 12
    while place + 8 <= len(data):
        name, size = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        place += 8
        if name == b"data":
            found = len(data) - place
            if found + 1024 < size < _UNKNOWN_SIZE:  # some encoders count their header in
                raise InvalidInput(
                    f"{what} is a WAV that is cut short: its header declares {size:,} bytes of sound, {found:,} are "
                    "there"
                )
            return
        place += size + size % 2
