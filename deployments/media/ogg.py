"""Ogg's physical bitstream, as far as chained files need it (RFC 3533, section 4).

Internet radio and editors put several Ogg files, *links*, one behind the other. FFmpeg's demuxer gives up where a link
has other parameters than the one before; each by itself is an ordinary file.
"""

from collections.abc import Iterator

MAGIC = b"OggS"
_HEADER = 27  # bytes before the table of segments
_FLAGS, _SEGMENTS = 5, 26  # offsets of the flags and of the number of segments
_BEGINS = 0x02  # flag of the first page of a logical bitstream


def links(data: bytes) -> list[bytes]:
    """The links of a file, in order; the file itself if it has one. What is no page ends the search."""
    starts = [0]
    was_first = True
    for offset, is_first in _pages(data):
        if is_first and not was_first:
            starts.append(offset)
        was_first = is_first
    if len(starts) == 1:
        return [data]
    return [data[start:stop] for start, stop in zip(starts, [*starts[1:], len(data)], strict=True)]


def _pages(data: bytes) -> Iterator[tuple[int, bool]]:
    """Offset of each page, and whether a logical bitstream begins with it. Those of a link begin together."""
    offset = 0
    while data[offset : offset + 4] == MAGIC and offset + _HEADER <= len(data):
        yield offset, bool(data[offset + _FLAGS] & _BEGINS)
        count = data[offset + _SEGMENTS]
        offset += _HEADER + count + sum(data[offset + _HEADER : offset + _HEADER + count])
