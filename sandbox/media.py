"""Real bytes of the size asked for: PNG, JPEG, WebP by Pillow, MP4 by PyAV.

Encodings are made in a thread and kept by size, format and colour; each job's file carries the job's stamp in a
comment, so no two jobs have equal bytes although they share an encoding.
"""

from __future__ import annotations

import asyncio
import colorsys
import io
import struct
import zlib
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import av
from PIL import Image, ImageDraw, ImageOps

from sandbox.sizes import MediaSpec

COLOURS = 6
BLACK = -1
_STAMP_BYTES = 64
_PLACEHOLDER = b"sandbox-stamp".ljust(_STAMP_BYTES, b".")
_FPS = 2  # enough to see it move, and half the work
_CACHE_BYTES = 256 * 1024 * 1024


class Studio:
    """Encodes on demand, each (size, format, colour) once."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="encode")
        self._kept: OrderedDict[tuple[MediaSpec, int], bytes] = OrderedDict()
        self._kept_bytes = 0
        self._making: dict[tuple[MediaSpec, int], asyncio.Future[bytes]] = {}

    async def file(self, spec: MediaSpec, colour: int, stamp: str) -> bytes:
        """The bytes of one output. `colour`: 0..COLOURS-1, or BLACK."""
        return _stamped(spec.format, await self._encoded(spec, colour), stamp)

    async def _encoded(self, spec: MediaSpec, colour: int) -> bytes:
        key = (spec, colour)
        if (kept := self._kept.get(key)) is not None:
            self._kept.move_to_end(key)
            return kept
        if key not in self._making:
            loop = asyncio.get_running_loop()
            self._making[key] = loop.run_in_executor(self._threads, encode, spec, colour)
        try:
            made = await asyncio.shield(self._making[key])
        finally:
            if key in self._making and self._making[key].done():
                del self._making[key]
        self._keep(key, made)
        return made

    def _keep(self, key: tuple[MediaSpec, int], made: bytes) -> None:
        if key not in self._kept:
            self._kept[key] = made
            self._kept_bytes += len(made)
            while self._kept_bytes > _CACHE_BYTES and len(self._kept) > 1:
                self._kept_bytes -= len(self._kept.popitem(last=False)[1])

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def encode(spec: MediaSpec, colour: int) -> bytes:
    """Blocking; a large video takes about a second."""
    if spec.format == "mp4":
        return _video(spec, colour)
    picture, buffer = _picture(spec.width, spec.height, colour, 0.5), io.BytesIO()
    match spec.format:
        case "png":
            picture.save(buffer, "PNG", compress_level=1)
        case "jpeg":
            picture.save(buffer, "JPEG", quality=80, comment=_PLACEHOLDER)
        case _:
            picture.save(buffer, "WEBP", quality=70, method=0, exif=_PLACEHOLDER)
    return buffer.getvalue()


def _picture(width: int, height: int, colour: int, position: float) -> Image.Image:
    """A sky with a sun; `position` 0..1 moves the sun."""
    if colour == BLACK:
        return Image.new("RGB", (width, height))
    high, low = _rgb(colour / COLOURS, 0.35, 0.95), _rgb(colour / COLOURS + 0.12, 0.75, 0.35)
    column = ImageOps.colorize(Image.linear_gradient("L").resize((1, height)), high, low)
    picture = column.resize((width, height), Image.Resampling.NEAREST)
    _draw_sun(picture, position)
    return picture


def _draw_sun(picture: Image.Image, position: float) -> None:
    width, height = picture.size
    radius = min(width, height) * 0.12
    x, y = width * (0.15 + 0.7 * position), height * 0.4
    ImageDraw.Draw(picture).ellipse((x - radius, y - radius, x + radius, y + radius), fill=(255, 250, 225))


def _rgb(hue: float, saturation: float, value: float) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def _video(spec: MediaSpec, colour: int) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264", rate=_FPS, options={"preset": "ultrafast", "crf": "30"})
        stream.width, stream.height, stream.pix_fmt = spec.width, spec.height, "yuv420p"
        frames = max(1, round(spec.duration_s * _FPS))
        to_frame: Any = av.VideoFrame.from_image
        sky = _picture(spec.width, spec.height, colour, -1)
        for number in range(frames):
            picture = sky.copy()
            if colour != BLACK:
                _draw_sun(picture, number / frames)
            container.mux(stream.encode(to_frame(picture)))
        container.mux(stream.encode())
    return buffer.getvalue() + struct.pack(">I", 8 + _STAMP_BYTES) + b"free" + _PLACEHOLDER


def _stamped(media_format: str, encoded: bytes, stamp: str) -> bytes:
    text = stamp.encode()[:_STAMP_BYTES].ljust(_STAMP_BYTES)
    if media_format != "png":
        return encoded.replace(_PLACEHOLDER, text, 1)
    body = b"tEXtComment\0" + text
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return encoded[:-12] + chunk + encoded[-12:]  # before IEND
