"""Reads multipart forms, byte for byte."""

from __future__ import annotations

import email
import io
from dataclasses import dataclass
from email.message import Message

from PIL import Image


@dataclass(frozen=True, slots=True)
class Part:
    name: str
    file_name: str | None  # None: a field
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode(errors="replace")


def form_parts(content_type: str, body: bytes) -> list[Part] | None:
    """The parts in order; None for what is not a whole form."""
    head = Message()
    head["content-type"] = content_type
    boundary = head.get_param("boundary")
    if head.get_content_type() != "multipart/form-data" or not isinstance(boundary, str):
        return None
    parts: list[Part] = []
    for piece in (b"\r\n" + body).split(b"\r\n--" + boundary.encode())[1:]:
        if piece.startswith(b"--"):
            return parts
        raw, found, content = piece.partition(b"\r\n\r\n")
        headers = email.message_from_bytes(raw.lstrip())
        name = headers.get_param("name", header="content-disposition")
        if not found or not isinstance(name, str):
            return None
        parts.append(Part(name, headers.get_filename(), content))
    return None


def picture_size(content: bytes) -> tuple[int, int] | None:
    """Width and height of a PNG, JPEG or WebP; None for anything else."""
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "WEBP")) as picture:
            picture.verify()
            return picture.size
    except (OSError, SyntaxError, ValueError):
        return None
