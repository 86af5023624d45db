"""Replicate's models and versions, and its file uploads: the calls around predictions."""

from __future__ import annotations

import email
import hashlib
import json
import secrets
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.jobs import clock, iso
from sandbox.journal import Journal
from sandbox.parameters import Model, Parameter
from sandbox.replicate import problems
from sandbox.replicate.api import authenticated
from sandbox.replicate.models import MODELS
from sandbox.replicate.prediction import PREFIX
from sandbox.replicate.versions import versions_of
from sandbox.submissions import base_url

_UPLOAD_LIFE_S = 86400
_PUBLISHED_AT = iso(1767225600)


class ModelPages:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def routes(self) -> list[Route]:
        return [
            Route(f"{PREFIX}/models/{{owner}}/{{name}}", authenticated(self.model)),
            Route(f"{PREFIX}/models/{{owner}}/{{name}}/versions/{{version}}", authenticated(self.version)),
            Route(f"{PREFIX}/files", authenticated(self.upload), methods=["POST"]),
            Route(f"{PREFIX}/files", authenticated(self.uploads)),
            Route(f"{PREFIX}/files/{{id}}", authenticated(self.read_upload)),
            Route(f"{PREFIX}/files/{{id}}", authenticated(self.remove_upload), methods=["DELETE"]),
        ]

    async def model(self, request: Request) -> Response:
        name = "{owner}/{name}".format(**request.path_params)
        model = MODELS.known.get(name)
        if model is None:
            return problems.not_found()
        owner, _, short = name.partition("/")
        return JSONResponse(
            {
                "url": f"https://replicate.com/{name}",
                "owner": owner,
                "name": short,
                "description": "A simulated model.",
                "visibility": "public",
                "github_url": None,
                "paper_url": None,
                "license_url": None,
                "run_count": 0,
                "cover_image_url": None,
                "default_example": None,
                "latest_version": _version_page(versions_of(name)[0], model),
            }
        )

    async def version(self, request: Request) -> Response:
        name = "{owner}/{name}".format(**request.path_params)
        version, model = request.path_params["version"], MODELS.known.get(name)
        if model is None or version not in versions_of(name):
            return problems.not_found()
        return JSONResponse(_version_page(version, model))

    async def upload(self, request: Request) -> Response:
        parts = _form_parts(request.headers.get("content-type", ""), await request.body())
        if "content" not in parts:
            return problems.problem(400, "Missing content.", "Bad request")
        name, content_type, content = parts["content"]
        metadata = parts["metadata"][2].decode() if "metadata" in parts else "{}"
        row = (secrets.token_urlsafe(24), name or "file", content_type, content, metadata, clock())
        self._journal.add_upload(row)
        return JSONResponse(_upload_page(row, base_url(request)), 201)

    async def uploads(self, request: Request) -> Response:
        base = base_url(request)
        pages = [_upload_page(row, base) for row in self._journal.uploads()]
        return JSONResponse({"next": None, "previous": None, "results": pages})

    async def read_upload(self, request: Request) -> Response:
        rows = self._journal.uploads(request.path_params["id"])
        return JSONResponse(_upload_page(rows[0], base_url(request))) if rows else problems.not_found()

    async def remove_upload(self, request: Request) -> Response:
        return (
            Response(status_code=204)
            if self._journal.remove_upload(request.path_params["id"])
            else problems.not_found()
        )


def _form_parts(content_type: str, body: bytes) -> dict[str, tuple[str | None, str, bytes]]:
    """(file name, type, bytes) of each part of a multipart form, by its name."""
    message = email.message_from_bytes(f"content-type: {content_type}\r\n\r\n".encode() + body)
    parts: dict[str, tuple[str | None, str, bytes]] = {}
    for part in message.walk():
        name, content = part.get_param("name", header="content-disposition"), part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(content, bytes):
            parts[name] = part.get_filename(), part.get_content_type(), content
    return parts


def _upload_page(row: tuple[str, str, str, bytes, str, float], base: str) -> dict[str, Any]:
    upload_id, name, content_type, content, metadata, created_at = row
    return {
        "id": upload_id,
        "name": name,
        "content_type": content_type,
        "size": len(content),
        "etag": hashlib.md5(content, usedforsecurity=False).hexdigest(),
        "checksums": {"sha256": hashlib.sha256(content).hexdigest()},
        "metadata": json.loads(metadata),
        "created_at": iso(created_at),
        "expires_at": iso(created_at + _UPLOAD_LIFE_S),
        "urls": {"get": f"{base}{PREFIX}/files/{upload_id}"},
    }


def _version_page(version: str, model: Model) -> dict[str, Any]:
    properties = {
        name: _property(parameter) | {"x-order": order}
        for order, (name, parameter) in enumerate(model.parameters.items())
    }
    output: dict[str, Any] = {"type": "string", "format": "uri"}
    if model.output == "list":
        output = {"type": "array", "items": output}
    return {
        "id": version,
        "created_at": _PUBLISHED_AT,
        "cog_version": "0.16.0",
        "openapi_schema": {
            "openapi": "3.0.2",
            "components": {
                "schemas": {
                    "Input": {
                        "type": "object",
                        "title": "Input",
                        "required": [name for name, parameter in model.parameters.items() if parameter.required],
                        "properties": properties,
                    },
                    "Output": {"title": "Output"} | output,
                }
            },
        },
    }


_JSON_TYPES = {"file": "string", "files": "array", "strings": "array", "list": "array"}


def _property(parameter: Parameter) -> dict[str, Any]:
    drawn: dict[str, Any] = {"type": _JSON_TYPES.get(parameter.type, parameter.type)}
    if parameter.choices and not {"WxH", "W*H"} & set(parameter.choices):
        drawn["enum"] = list(dict.fromkeys(parameter.choices))
    for name, value in (("default", parameter.default), ("minimum", parameter.minimum), ("maximum", parameter.maximum)):
        if value is not None:
            drawn[name] = value
    return drawn
