"""Detects file formats by their first bytes, for error messages."""

IMAGE_FORMATS = ("PNG", "JPEG", "WebP", "GIF", "BMP", "TIFF")
AUDIO_FORMATS = ("WAV", "FLAC", "Ogg", "MP3", "AAC", "M4A/MP4", "WebM/Matroska", "AIFF", "AMR")

_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
_RIFF = {b"WAVE": "WAV", b"WEBP": "WebP", b"AVI ": "AVI"}
_FORM = {b"AIFF": "AIFF", b"AIFC": "AIFF"}
_BRANDS = {b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIC", b"msf1": "HEIC"}
_BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"fLaC", "FLAC"),
    (b"OggS", "Ogg"),
    (b"ID3", "MP3"),
    (b"\x1aE\xdf\xa3", "WebM/Matroska"),
    (b"#!AMR", "AMR"),
    (b"%PDF", "PDF"),
    (b"PK\x03\x04", "ZIP"),
    (b"\x1f\x8b", "gzip"),
    (b"#EXTM3U", "an M3U playlist"),
    (b"ffconcat", "a list of files"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"8BPS", "PSD"),
    (b"0&\xb2u\x8ef\xcf\x11", "WMA/ASF"),
)
_TEXTS = (
    (b"<!doctype html", "HTML"),
    (b"<html", "HTML"),
    (b"<svg", "SVG"),
    (b"<?xml", "XML"),
    (b"{", "JSON"),
    (b"[", "JSON"),
)


def sniff(data: bytes) -> str | None:
    """The format of a file by its first bytes, or None. The supported ones: `IMAGE_FORMATS`, `AUDIO_FORMATS`."""
    kind = data[8:12]
    if data[:4] in (b"RIFF", b"RF64", b"BW64", b"RIFX"):
        return _RIFF.get(kind)
    if data[:4] == b"FORM":
        return _FORM.get(kind)
    if data[4:8] == b"ftyp":
        return _BRANDS.get(kind, "M4A/MP4")
    if data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    for beginning, name in _BEGINNINGS:
        if data.startswith(beginning):
            return name
    return _frame_sync(data) or _text(data)


def unsupported(medium: str, formats: tuple[str, ...], data: bytes, field: str) -> str:
    """The error message for a file that is not a supported `medium`."""
    kind = sniff(data)
    looks = f"; it looks like {kind}" if kind is not None else ""
    return f"{field} is not in a supported {medium} format ({', '.join(formats)}){looks}"


def _frame_sync(data: bytes) -> str | None:
    """MP3 and AAC streams have no file header, but every frame begins with 11 or 12 set bits."""
    if len(data) < 4 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
        return None
    layer = data[1] >> 1 & 3
    if layer == 0:
        return "AAC" if data[1] & 0xF0 == 0xF0 else None
    return "MP3" if layer in (1, 2) else None


def _text(data: bytes) -> str | None:
    beginning = data[:64].lstrip().lower()
    return next((name for text, name in _TEXTS if beginning.startswith(text)), None)
