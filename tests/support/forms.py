"""Reads the multipart form of a recorded request."""

from __future__ import annotations

import email
from email.message import Message

import httpx


def fields_and_files(request: httpx.Request) -> tuple[dict[str, str], list[tuple[str, str, str, bytes]]]:
    """Fields by name, and (name, file name, content type, bytes) of each file in order."""
    head = f"content-type: {request.headers['content-type']}\r\n\r\n".encode()
    fields, files = {}, []
    message = email.message_from_bytes(head + request.content)
    parts = [part for part in message.get_payload() if isinstance(part, Message)]
    for part in parts:
        name, content = str(part.get_param("name", header="content-disposition")), part.get_payload(decode=True)
        assert isinstance(content, bytes)
        file_name = part.get_filename()
        if file_name is None:
            fields[name] = content.decode()
        else:
            files.append((name, file_name, part.get_content_type(), content))
    return fields, files
