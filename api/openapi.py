"""The OpenAPI document: what FastAPI derives from the routes, and the bodies and headers that it cannot see."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api import samples

DESCRIPTION = """One API for images and videos from many inference providers.

Every answer is JSON in an envelope. Retry an error only when `error.retryable` is true, and after the seconds in
`Retry-After` when that header is present. Send an `Idempotency-Key` with a generate request to repeat it safely."""

_URL = {"type": "string", "format": "uri"}
_COMMON: dict[str, Any] = {
    "generation_prompt": {"type": "string", "minLength": 1, "maxLength": 4000},
    "generation_ratio": {"type": "string", "description": "One of the model's ratios.", "examples": ["16:9"]},
    "generation_output_format": {"type": "string", "enum": ["png", "jpg", "webp", "mp4"]},
    "generation_provider_order": {
        "type": "string",
        "default": "fastest",
        "description": "`fastest`, or providers of the model in the order to try, separated by commas.",
        "examples": ["replicate, fal"],
    },
    "generation_input_file": {"type": "array", "items": _URL, "description": "If the model accepts files."},
    "generation_resolution": {"type": "string", "description": "One of the model's resolutions."},
}
_IMAGE_BODY: dict[str, Any] = {
    "type": "object",
    "title": "ImageRequest",
    "required": ["generation_prompt"],
    "properties": {**_COMMON, "generation_output_number": {"type": "integer", "minimum": 1, "default": 1}},
    "additionalProperties": {"description": "Only names in the model's `specific_schema`."},
    "example": samples.IMAGE_BODY,
}
_VIDEO_BODY: dict[str, Any] = {
    "type": "object",
    "title": "VideoRequest",
    "required": ["generation_prompt", "generation_duration"],
    "properties": {
        **_COMMON,
        "generation_duration": {"type": "number", "description": "Seconds; one of the model's durations."},
        "generation_generate_audio": {"type": "boolean", "default": False},
        "generation_input_file_last_content": {**_URL, "description": "The last frame, if the model accepts one."},
    },
    "additionalProperties": {"description": "Only names in the model's `specific_schema`."},
    "example": samples.VIDEO_BODY,
}
_IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_\\-:.]{1,255}$"},
    "description": "For 24 hours, the same key with the same body gets the first answer again, and starts nothing.",
}


def generate_operation(body: dict[str, Any], sample: dict[str, Any]) -> dict[str, Any]:
    """What a generate route adds to its own operation."""
    return {
        "parameters": [_IDEMPOTENCY_KEY],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        **samples.answering(sample),
    }


IMAGE_OPERATION = generate_operation(_IMAGE_BODY, samples.IMAGE_ACCEPTED)
VIDEO_OPERATION = generate_operation(_VIDEO_BODY, samples.VIDEO_ACCEPTED)


def document(app: FastAPI) -> dict[str, Any]:
    """Built once. Validation is ours alone, so FastAPI's own 422 is no part of the contract."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes, servers=app.servers
        )
        for path in schema["paths"].values():
            for operation in path.values():
                _without_framework_errors(operation)
        for framework_schema in ("HTTPValidationError", "ValidationError"):
            schema["components"]["schemas"].pop(framework_schema, None)
        app.openapi_schema = schema
    return app.openapi_schema


def _without_framework_errors(operation: dict[str, Any]) -> None:
    refused = operation["responses"].get("422")
    if refused is not None and "HTTPValidationError" in str(refused):
        del operation["responses"]["422"]
