"""What a finished file really is: type, size in pixels and duration, read from its own structure.

The walk goes from header to header by seeking, so a two-hour video costs as little as an image. It proves that the file
is whole, not that every pixel decodes. Nothing a server said about the file is believed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from domain.errors import ProviderInvalidOutput

HEAD_BYTES = 16  # enough to tell the kinds apart
PARTS_MAX = 200_000  # chunks, segments or boxes in one file; more is an attack on the parser


@dataclass(frozen=True)
class MediaInfo:
    """`duration_s` is None for images, and for videos that do not say."""

    content_type: str
    width: int
    height: int
    duration_s: float | None = None


def inspect(file: BinaryIO, size: int) -> MediaInfo:
    """Recognise a PNG, JPEG, WebP or MP4 of `size` bytes by its content. Moves the file's position.

    Raises ProviderInvalidOutput when the file is empty, of another kind, broken or cut off.
    """
    info = structure(file, size)
    if not (1 <= info.width <= SIDE_MAX and 1 <= info.height <= SIDE_MAX):
        raise ProviderInvalidOutput("The output file has an impossible size.")
    return info


def structure(file: BinaryIO, size: int) -> MediaInfo:
    """The same for any size in pixels, as its header claims it: up to 2^32 - 1 a side."""
    if size <= 0:
        raise ProviderInvalidOutput("The output file is empty.")
    source = _Source(file, size)
    source.at(size - 1, 1)  # the last byte is there
    kind = media_type_of(source.at(0, min(HEAD_BYTES, size)))
    if kind is None:
        raise ProviderInvalidOutput("The output file is neither PNG, JPEG, WebP nor MP4.")
    return _READERS[kind](source)


def media_type_of(head: bytes) -> str | None:
    """The kind of file that these first bytes begin, of those known here."""
    if head.startswith(_PNG):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return "video/mp4" if head[4:8] == b"ftyp" else None


class _Source:
    """Reads at absolute positions and refuses to read past the end."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self.size, self._parts = file, size, 0

    def at(self, position: int, count: int) -> bytes:
        if position < 0 or position + count > self.size:
            raise _cut_off()
        self._file.seek(position)
        data = self._file.read(count)
        if len(data) != count:
            raise _cut_off()
        return data

    def number(self, position: int, count: int) -> int:
        return int.from_bytes(self.at(position, count), "big")

    def count_part(self) -> None:
        self._parts += 1
        if self._parts > PARTS_MAX:
            raise _broken("it has too many parts")


def _cut_off() -> ProviderInvalidOutput:
    return ProviderInvalidOutput("The output file is cut off.")


def _broken(why: str) -> ProviderInvalidOutput:
    return ProviderInvalidOutput(f"The output file is broken: {why}.")


# --- PNG: chunks from IHDR to IEND --------------------------------------------------------------------------------

SIDE_MAX = 65_535  # pixels; no picture is larger, and a forged header must not reach the records
_PNG = b"\x89PNG\r\n\x1a\n"


def _png(source: _Source) -> MediaInfo:
    if source.at(12, 4) != b"IHDR":
        raise _broken("no header")
    width, height = source.number(16, 4), source.number(20, 4)
    position, pixels = len(_PNG), False
    while True:
        source.count_part()
        head = source.at(position, 8)
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        source.at(position + 8 + length, 4)  # the checksum: the chunk is there to its end
        pixels = pixels or kind == b"IDAT"
        if kind == b"IEND":
            break
        position += 12 + length
    if not pixels:
        raise _broken("no pixels")
    return MediaInfo("image/png", width, height)


# --- JPEG: segments up to the first scan, and an end marker at the end --------------------------------------------

_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN, _END = 0xDA, 0xD9
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})


def _jpeg(source: _Source) -> MediaInfo:
    info: MediaInfo | None = None
    position = 2
    while True:
        source.count_part()
        fill, marker = source.at(position, 2)
        if fill != 0xFF or marker in (0x00, _END):
            raise _broken("segments out of order")
        if marker == 0xFF:  # padding before a marker
            position += 1
            continue
        if marker in _WITHOUT_LENGTH:
            position += 2
            continue
        length = source.number(position + 2, 2)
        if marker in _FRAMES:
            info = MediaInfo("image/jpeg", source.number(position + 7, 2), source.number(position + 5, 2))
        position += 2 + length
        if marker == _SCAN:
            break
    tail = source.at(max(position, source.size - 64), source.size - max(position, source.size - 64))
    if not tail.rstrip(b"\0").endswith(b"\xff\xd9"):
        raise _cut_off()
    if info is None:
        raise _broken("no frame")
    return info


# --- WebP: one RIFF container whose chunks fill it ----------------------------------------------------------------


def _webp(source: _Source) -> MediaInfo:
    end = 8 + int.from_bytes(source.at(4, 4), "little")
    if end > source.size:
        raise _cut_off()
    canvas: MediaInfo | None = None
    image: MediaInfo | None = None
    position = 12
    while position < end:
        source.count_part()
        kind, length = source.at(position, 4), int.from_bytes(source.at(position + 4, 4), "little")
        start = position + 8
        if start + length > end:
            raise _cut_off()
        if kind == b"VP8X":
            extent = source.at(start + 4, 6)
            canvas = _webp_info(1 + int.from_bytes(extent[:3], "little"), 1 + int.from_bytes(extent[3:], "little"))
        elif kind == b"VP8L":
            image = image or _webp_lossless(source, start)
        elif kind == b"VP8 ":
            image = image or _webp_lossy(source, start)
        elif kind == b"ANMF":
            image = image or canvas
        position = start + length + length % 2
    if image is None:
        raise _broken("no image")
    return canvas or image


def _webp_info(width: int, height: int) -> MediaInfo:
    return MediaInfo("image/webp", width, height)


def _webp_lossy(source: _Source, start: int) -> MediaInfo:
    frame = source.at(start, 10)
    if frame[3:6] != b"\x9d\x01\x2a":
        raise _broken("no key frame")
    width, height = int.from_bytes(frame[6:8], "little"), int.from_bytes(frame[8:10], "little")
    return _webp_info(width & 0x3FFF, height & 0x3FFF)  # the upper two bits are a scaling hint


def _webp_lossless(source: _Source, start: int) -> MediaInfo:
    head = source.at(start, 5)
    if head[0] != 0x2F:
        raise _broken("no lossless image")
    bits = int.from_bytes(head[1:], "little")
    return _webp_info(1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))


# --- MP4: boxes; a movie header with a video track, and media data ------------------------------------------------

_BRANDS = frozenset({b"mp41", b"mp42", b"avc1", b"dash", b"M4V ", b"MSNV", *(b"iso%c" % c for c in b"m23456789")})


@dataclass(frozen=True)
class _Box:
    kind: bytes
    start: int  # of the content
    end: int


def _mp4(source: _Source) -> MediaInfo:
    boxes = list(_boxes(source, 0, source.size))
    kinds = {box.kind for box in boxes}
    names = source.at(boxes[0].start, min(boxes[0].end - boxes[0].start, 256))
    if _BRANDS.isdisjoint({names[:4], *(names[i : i + 4] for i in range(8, len(names), 4))}):
        raise ProviderInvalidOutput("The output file is neither PNG, JPEG, WebP nor MP4.")
    if not {b"moov", b"mdat"} <= kinds:
        raise _cut_off()
    moov = next(box for box in boxes if box.kind == b"moov")
    extent, duration = None, None
    for box in _boxes(source, moov.start, moov.end):
        if box.kind == b"mvhd":
            duration = _movie_duration(source, box)
        elif box.kind == b"trak" and extent is None:
            extent = _video_extent(source, box)
    if extent is None:
        raise _broken("no video track")
    return MediaInfo("video/mp4", *extent, duration)


def _boxes(source: _Source, position: int, end: int) -> Iterator[_Box]:
    while position < end:
        source.count_part()
        if end - position < 8:
            raise _cut_off()
        length, kind, head = source.number(position, 4), source.at(position + 4, 4), 8
        if length == 1:
            length, head = source.number(position + 8, 8), 16
        elif length == 0:
            length = end - position
        if length < head:
            raise _broken("a box is smaller than its own header")
        if position + length > end:
            raise _cut_off()
        yield _Box(kind, position + head, position + length)
        position += length


def _movie_duration(source: _Source, box: _Box) -> float | None:
    long = source.number(box.start, 1) == 1
    scale = source.number(box.start + (20 if long else 12), 4)
    duration = source.number(box.start + (24 if long else 16), 8 if long else 4)
    unknown = duration == (2**64 if long else 2**32) - 1
    return duration / scale if scale and duration and not unknown else None


def _video_extent(source: _Source, trak: _Box) -> tuple[int, int] | None:
    """Width and height of a track as it is shown; None for sound and other tracks."""
    extent, video = None, False
    for box in _boxes(source, trak.start, trak.end):
        if box.kind == b"tkhd":
            at = box.end - 8  # two 16.16 fixed-point numbers end the track header in both of its versions
            extent = source.number(at, 4) >> 16, source.number(at + 4, 4) >> 16
        elif box.kind == b"mdia":
            handlers = [inner for inner in _boxes(source, box.start, box.end) if inner.kind == b"hdlr"]
            video = any(source.at(handler.start + 8, 4) == b"vide" for handler in handlers)
    return extent if video else None


_READERS: dict[str, Callable[[_Source], MediaInfo]] = {
    "image/png": _png,
    "image/jpeg": _jpeg,
    "image/webp": _webp,
    "video/mp4": _mp4,
}
