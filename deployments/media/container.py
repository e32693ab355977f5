"""Opens an audio file with FFmpeg (PyAV), isolated from other files and the network, and decodes its frames."""

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

from deployments.errors import InvalidInput, UnsupportedMedia
from deployments.media.ogg import MAGIC, links
from deployments.media.sniff import AUDIO_FORMATS, sniff, unsupported

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet

# FFmpeg also opens playlists, file lists and session descriptions, and the files and URLs that they name: a client
# could read files of this machine. The formats below contain their audio.
FORMATS = ("wav", "flac", "ogg", "mp3", "aac", "mov", "matroska", "aiff", "amr")
_PCM = [f"pcm_{kind}{end}" for kind in ("s16", "s24", "s32", "f32", "f64") for end in ("le", "be")]
CODECS = (
    *_PCM,
    *("pcm_u8", "pcm_s8", "pcm_alaw", "pcm_mulaw", "adpcm_ms", "adpcm_ima_wav"),
    *("flac", "alac", "mp3float", "mp3", "aac", "opus", "libopus", "vorbis", "amrnb", "amrwb"),
)
MAX_CHANNELS = 32
MAX_BAD_SHARE = 0.1  # of a stream's packets; as in players, bad frames up to here are skipped

# Seconds by which the audio may be shorter than declared, in formats that declare it reliably. MP4 counts padding.
_DECLARING = {"flac": 0.1, "aiff": 0.1, "mov": 0.5}
# Containers whose frames are independent of one another; in the others a bad one means a damaged file.
_LOSSY = ("mp3", "aac", "amr", "ogg", "mov", "matroska")
_LOSSLESS = ("flac", "alac")
MAX_LINKS = 256  # of a chained Ogg file
_OPTIONS = {
    "format_whitelist": ",".join(FORMATS),
    "codec_whitelist": ",".join(CODECS),  # no video decoder
    "protocol_whitelist": "none",
    "threads": "1",
    "max_size": str(1 << 14),  # bytes of a WAV's packets; the default is slower, and so are larger ones
}
_UNKNOWN_SIZE = 0x7FFF0000  # sizes from here on are placeholders of streaming encoders


class AudioFile:
    """An open audio file, to be used in a `with` statement.

    Args:
        data: the file.
        field: name of the input in messages.

    Attributes:
        kind: name of the format, for messages.
        stream: the first audio stream; of a chained Ogg file, that of the link that is being decoded.

    Raises:
        UnsupportedMedia: no audio, or an unsupported format.
        InvalidInput: damaged before the first sample, truncated (WAV), or chained of too many files (Ogg).
    """

    def __init__(self, data: bytes, field: str) -> None:
        self.field = field
        self.kind = sniff(data) or "recording"
        if self.kind == "WAV":
            _require_whole_wav(data, field)
        first, *self._links = links(data) if data.startswith(MAGIC) else [data]
        if len(self._links) >= MAX_LINKS:
            raise InvalidInput(f"{field} is an Ogg of {len(self._links) + 1:,} files; the limit is {MAX_LINKS}")
        self._open(first)

    def __enter__(self) -> "AudioFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def frames(self) -> Iterator["AudioFrame"]:
        """Decode frame by frame.

        Raises:
            av.FFmpegError: the file is damaged.
        """
        import av

        packets = bad = 0
        for packet in self._packets():
            packets += 1
            try:
                yield from packet.decode()
            except av.FFmpegError:
                bad += 1
                if not self._skips:
                    raise
        if bad > 1 + packets * MAX_BAD_SHARE:
            raise InvalidInput(
                f"{self.field} is a damaged {self.kind}: {bad:,} of its {packets:,} frames cannot be decoded"
            )

    @property
    def _skips(self) -> bool:
        """Whether frames that cannot be decoded are skipped."""
        format_name = self._container.format.name.split(",")[0]
        return format_name in _LOSSY and self.stream.codec_context.name not in _LOSSLESS

    def _packets(self) -> Iterator["Packet[AudioStream]"]:
        """The packets of all links."""
        yield from self._container.demux(self.stream)
        for link in self._links:
            self._container.close()
            self._open(link)
            yield from self._container.demux(self.stream)

    def _open(self, data: bytes) -> None:
        self._container = _open(data, self.field)
        try:
            self.stream = self._first_stream()
        except BaseException:
            self._container.close()
            raise

    def require_whole(self, seconds: float) -> None:
        """Reject a file with clearly less audio than its header declares.

        Raises:
            InvalidInput: the file is truncated.
        """
        format_name = self._container.format.name.split(",")[0]
        duration, unit = self.stream.duration, self.stream.time_base
        if format_name not in _DECLARING or duration is None or unit is None:
            return
        declared = float(duration * unit)
        if seconds < declared - _DECLARING[format_name]:
            raise InvalidInput(
                f"{self.field} is truncated: its header declares {declared:,.2f} s, it has {seconds:,.2f} s"
            )

    def _first_stream(self) -> "AudioStream":
        streams = self._container.streams
        if not streams.audio:
            kinds = sorted({stream.type for stream in streams})
            raise UnsupportedMedia(f"{self.field} has no audio, only {' and '.join(kinds) or 'nothing'}")
        stream = streams.audio[0]
        codec = stream.codec_context
        if codec is None or codec.name not in CODECS:
            name = "an unknown codec" if codec is None else codec.name
            raise UnsupportedMedia(f"{self.field} has audio in {name}, which is not supported; use FLAC, MP3 or Opus")
        if not 1 <= stream.channels <= MAX_CHANNELS:
            raise InvalidInput(f"{self.field} has {stream.channels:,} channels; the limit is {MAX_CHANNELS}")
        codec.thread_count = 1  # parallelism comes from the calling threads
        return stream


def _open(data: bytes, field: str) -> "InputContainer":
    import av

    try:
        return av.open(io.BytesIO(data), "r", options=_OPTIONS, metadata_errors="replace")
    except (av.FFmpegError, ValueError) as error:
        kind = sniff(data)
        if kind not in AUDIO_FORMATS:
            raise UnsupportedMedia(unsupported("audio", AUDIO_FORMATS, data, field)) from error
        raise InvalidInput(f"{field} is a damaged or truncated {kind}") from error


def _require_whole_wav(data: bytes, field: str) -> None:
    """FFmpeg accepts a truncated WAV; compare its header with its size.

    Raises:
        InvalidInput: the file is truncated.
    """
    if data[:4] != b"RIFF":
        return  # 64-bit variants store the size elsewhere
    offset = 12
    while offset + 8 <= len(data):
        name, size = data[offset : offset + 4], int.from_bytes(data[offset + 4 : offset + 8], "little")
        offset += 8
        if name == b"data":
            found = len(data) - offset
            if found + 1024 < size < _UNKNOWN_SIZE:  # some encoders include the header
                raise InvalidInput(
                    f"{field} is a truncated WAV: its header declares {size:,} bytes of audio, it has {found:,}"
                )
            return
        offset += size + size % 2
