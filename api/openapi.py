"""The OpenAPI document: what FastAPI derives from the routes, and the bodies and headers that it cannot see.

docs/openapi.json keeps it: `python -m api.openapi > docs/openapi.json`.
"""

from __future__ import annotations

import json
import re
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import iter_route_contexts

from api import samples
from domain import input_files
from domain.addresses import URL_BYTES_MAX
from domain.fields import INPUT_FILES_MAX

DESCRIPTION = """One API for images and videos from many inference providers.

Every answer is JSON in an envelope. Retry an error only when `error.retryable` is true, and after the seconds in
`Retry-After` when that header is present. Send an `Idempotency-Key` with a generate request to repeat it safely."""

_FILE = {"type": "string", "format": "uri", "maxLength": URL_BYTES_MAX}
_FILE_RULES = (
    f"JPEG, PNG or WebP by content, at most {input_files.BYTES_MAX // 2**20} MB, {input_files.SIDE_MIN} to "
    f"{input_files.SIDE_MAX} pixels a side, at a public https address: port 443, no credentials, no fragment, at most "
    "three redirects. Each file is fetched and checked before the answer; providers get a copy, not the address."
)
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
    "generation_input_file": {
        "type": "array",
        "items": _FILE,
        "minItems": 1,
        "maxItems": INPUT_FILES_MAX,
        "description": f"If the model accepts files; some accept one only, a video's first frame. {_FILE_RULES}",
    },
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
        "generation_input_file_last_content": {
            **_FILE,
            "description": "The last frame, if the model accepts one; needs a first one in `generation_input_file`.",
        },
    },
    "additionalProperties": {"description": "Only names in the model's `specific_schema`."},
    "example": samples.VIDEO_BODY,
}
_PATH_NAMES: dict[str, dict[str, Any]] = {
    "model_identifier": {
        "description": "As the library lists it, its slash not escaped; a slash at the end is ignored.",
        "example": samples.IMAGE_MODEL,
    },
    "generation_id": {"description": "As the create answered it.", "example": samples.IMAGE_ID},
    "account_id": {"description": "A UUID.", "example": samples.ACCOUNT_ID},
    "api_key_id": {"description": "A UUID, not the key."},
    "endpoint_id": {"description": "A UUID."},
    "limit_id": {"description": "A UUID."},
    "adjustment_id": {"description": "A UUID."},
    "delivery_id": {"description": "A UUID, as in `X-BabySea-Delivery-Id`."},
    "operator_id": {"description": "A UUID, not the key."},
    "event_id": {"description": "As Stripe names it.", "example": "evt_1Qm3xY2eZvKYlo2C"},
    "provider": {"description": "As the library lists it.", "example": "replicate"},
    "token": {"description": "Names and proves the attempt that the provider was asked for."},
}
_TAGS = {
    "generations": "Ask for images and videos.",
    "content": "Generations that exist: read, list, cancel, delete.",
    "account": "The key that asks, and its account.",
    "library": "What can be generated, by whom, and what it costs.",
    "health": "How the providers and our own parts are doing.",
    "billing": "Buy credits: what is for sale, pages to buy it on, automatic top-ups.",
    "callbacks": "For inference providers and the payment service only.",
    "operation": "For load balancers.",
    # For operators, with keys of their own; outside the compatibility promise.
    "operator: accounts": "Who pays: open, read, change, close.",
    "operator: keys": "The API keys of an account.",
    "operator: credits": "What an account has, what came and went, who may change it, and limits to it.",
    "operator: webhooks": "Where an account is told of its generations, and what it was sent.",
    "operator: requests": "What an account asked of the API.",
    "operator: generations": "How a generation was decided and run.",
    "operator: plans": "What each plan allows.",
    "operator: payments": "What came from Stripe, and what became of it.",
    "operator: providers": "Which providers get new generations.",
    "operator: operators": "Who may use this part of the API.",
    "operator: audit": "What operators changed.",
}
_WHOLE_SECONDS = {"type": "integer", "minimum": 1}
_COUNT = {"type": "integer", "minimum": 0}
_RATE_LIMIT: dict[str, dict[str, Any]] = {
    "X-RateLimit-Limit": {"schema": _COUNT, "description": "Requests that the window allows."},
    "X-RateLimit-Remaining": {"schema": _COUNT, "description": "Requests that are left of it."},
    "X-RateLimit-Reset": {"schema": _COUNT, "description": "When the window ends, in Unix seconds."},
    "RateLimit-Policy": {
        "schema": {"type": "string", "examples": ['"default";q=60;w=60']},
        "description": "The limit and the seconds of its window, as draft-ietf-httpapi-ratelimit-headers says it.",
    },
    "RateLimit": {
        "schema": {"type": "string", "examples": ['"default";r=59;t=42']},
        "description": "What is left of it, and the seconds until there is more.",
    },
}
_HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-Id": {"schema": {"type": "string"}, "description": "The same as `request_id` in the body."},
    **_RATE_LIMIT,
    "Retry-After": {"schema": _WHOLE_SECONDS, "description": "Seconds to wait before asking again, where known."},
    "Idempotency-Replayed": {
        "schema": {"type": "string", "const": "true"},
        "description": "Present when the answer repeats that of an earlier request with the same key.",
    },
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
        _restore_nulls(schema, app)
        for path in schema["paths"].values():
            for operation in path.values():
                _without_framework_errors(operation)
                _explained(operation)
                _with_headers(operation)
        for framework_schema in ("HTTPValidationError", "ValidationError"):
            schema["components"]["schemas"].pop(framework_schema, None)
        schema["components"] |= {"headers": _HEADERS, "responses": _shared_responses(schema["paths"])}
        used = {tag for path in schema["paths"].values() for operation in path.values() for tag in operation["tags"]}
        schema["tags"] = [{"name": name, "description": text} for name, text in _TAGS.items() if name in used]
        app.openapi_schema = schema
    return app.openapi_schema


def _restore_nulls(schema: dict[str, Any], app: FastAPI) -> None:
    """FastAPI drops every null, those of the sample answers too; there they are a part of the contract."""
    for route in iter_route_contexts(app.routes):
        added = getattr(route, "openapi_extra", None) or {}
        for media_type, sample in added.get("responses", {}).get("200", {}).get("content", {}).items():
            for method in route.methods or ():
                answer = schema["paths"][route.path_format][method.lower()]["responses"]["200"]
                answer["content"][media_type]["example"] = sample["example"]


def _explained(operation: dict[str, Any]) -> None:
    """What the derived parts leave unsaid: names in paths, and that an answer is an answer."""
    answer = operation["responses"]["200"]
    answer["description"] = "Done, or accepted."
    shown = answer["content"]["application/json"].get("example", {}).get("data", {})
    for parameter in operation.get("parameters", []):
        name = parameter["name"]
        if parameter["in"] == "path":
            parameter.update(_PATH_NAMES.get(name, {}))
            if name in shown:
                parameter["example"] = shown[name]


def _without_framework_errors(operation: dict[str, Any]) -> None:
    refused = operation["responses"].get("422")
    if refused is not None and "HTTPValidationError" in str(refused):
        del operation["responses"]["422"]


def _with_headers(operation: dict[str, Any]) -> None:
    """The rate limit is on every answer to a key, and on every error that may be repeated."""
    keyed = any("ApiKey" in scheme for scheme in operation.get("security", []))
    for status, response in operation["responses"].items():
        repeatable = '"retryable": true' in json.dumps(response)
        names = ["X-Request-Id"]
        if keyed or repeatable:
            names += _RATE_LIMIT
        if repeatable:
            names.append("Retry-After")
        if status == "200" and _IDEMPOTENCY_KEY in operation.get("parameters", []):
            names.append("Idempotency-Replayed")
        response["headers"] = response.get("headers", {}) | {
            name: {"$ref": f"#/components/headers/{name}"} for name in names
        }


def _shared_responses(paths: dict[str, Any]) -> dict[str, Any]:
    """Each refusal once, named by its codes; the operations refer to it."""
    shared: dict[str, Any] = {}
    for path in paths.values():
        for operation in path.values():
            for status, response in operation["responses"].items():
                if status == "200":
                    continue
                codes = re.findall(r"^`(BSE\d{4})`", response["description"], re.MULTILINE)
                name = "_".join(dict.fromkeys(codes)) or f"{operation['operationId']}_{status}"
                while shared.setdefault(name, response) != response:  # the same codes, answered with other headers
                    name += "_"
                operation["responses"][status] = {"$ref": f"#/components/responses/{name}"}
    return shared


def resolved(api: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """What a node of the document is, or refers to."""
    reference = node.get("$ref")
    if reference is None:
        return node
    _, _, kind, name = reference.split("/")
    found: dict[str, Any] = api["components"][kind][name]
    return found


if __name__ == "__main__":
    from api.app import reference  # which imports this module

    print(reference())
