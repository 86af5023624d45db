"""Artifacts of a local folder, by signed address. A bucket serves them itself, and then this route is absent."""

from __future__ import annotations

import re
import time

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, PlainTextResponse, Response

from api.dependencies import Handles

router = APIRouter(include_in_schema=False)

_CONTENT_TYPES = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp", "mp4": "video/mp4"}
_UNIX_SECONDS = re.compile(r"[0-9]{1,12}\Z", re.ASCII)
_HEADERS = {"Cache-Control": "private, max-age=3600", "Content-Security-Policy": "default-src 'none'; sandbox"}


@router.api_route("/files/{key:path}", methods=["GET", "HEAD"])
async def serve_file(request: Request, key: str, handles: Handles) -> Response:
    """The file, or the part of it that `Range` asks for. A forged or expired address is refused without a reason."""
    store = handles.files
    assert store is not None  # else this route is absent
    expires, signature = request.query_params.get("expires", ""), request.query_params.get("signature", "")
    if not _UNIX_SECONDS.match(expires) or not store.verify(key, int(expires), signature, time.time()):
        return PlainTextResponse("The address is not valid, or not any more.", 403)
    path = store.path(key)
    if not path.is_file():
        return PlainTextResponse("The file was deleted.", 404)
    content_type = _CONTENT_TYPES.get(path.suffix.removeprefix("."), "application/octet-stream")
    return FileResponse(path, headers=_HEADERS, media_type=content_type)
