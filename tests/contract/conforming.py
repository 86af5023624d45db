"""Holds every answer against the OpenAPI document: status, headers, media type and body are what it promises."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any

import httpx
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from api.openapi import resolved

DOCUMENT = "urn:openapi"
ENVELOPE_ONLY = {404: "BSE3004", 405: "BSE3005", 413: "BSE2010"}  # what the edge answers whatever the path


class Conformance:
    """One document and its validators."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self._registry: Registry[Any] = Registry().with_resource(
            DOCUMENT, Resource(contents=document, specification=DRAFT202012)
        )
        self._validators: dict[str, Draft202012Validator] = {}

    async def hook(self, response: httpx.Response) -> None:
        """For `event_hooks["response"]`: every answer that a test receives is checked on the way."""
        await response.aread()
        self.check(response)

    def check(self, response: httpx.Response) -> None:
        request, path = response.request, response.request.url.path
        if request.method in {"OPTIONS", "HEAD"}:
            return
        found = self.route(path)
        if found is None or request.method.lower() not in found[1]:
            if path.startswith(("/v1/", "/admin/")):
                assert response.json()["error"]["code"] == ENVELOPE_ONLY[response.status_code], response.text
            return
        template, operations = found
        responses = operations[request.method.lower()]["responses"]
        status = str(response.status_code)
        if status not in responses and response.status_code in ENVELOPE_ONLY:
            assert response.json()["error"]["code"] == ENVELOPE_ONLY[response.status_code], response.text
            return
        assert status in responses, f"{request.method} {template} does not document {status}: {response.text}"
        documented = responses[status]
        pointer = documented.get("$ref", f"#/paths/{_escaped(template)}/{request.method.lower()}/responses/{status}")
        self._check_headers(response, resolved(self.document, documented))
        self._check_body(response, resolved(self.document, documented), pointer.removeprefix("#"))

    def route(self, path: str) -> tuple[str, dict[str, Any]] | None:
        """The template of a path, the most literal one first, with its operations."""
        return next(((name, self.document["paths"][name]) for form, name in self._routes if form.match(path)), None)

    def _check_headers(self, response: httpx.Response, documented: dict[str, Any]) -> None:
        names = {name.lower() for name in documented["headers"]}  # every answer has some
        sent = {name for name in response.headers if name.startswith(("x-", "retry-", "ratelimit", "idempotency-"))}
        assert sent - names <= {"x-content-type-options"}, f"not documented: {sent - names}"
        for name in documented["headers"]:
            if name in response.headers:
                schema = resolved(self.document, documented["headers"][name])["schema"]
                value: Any = response.headers[name]
                if schema.get("type") == "integer":
                    value = int(value)
                Draft202012Validator(schema).validate(value)

    def _check_body(self, response: httpx.Response, documented: dict[str, Any], pointer: str) -> None:
        media_type = response.headers["Content-Type"].partition(";")[0]
        assert media_type in documented["content"], media_type
        body = response.json() if media_type == "application/json" else response.text
        self.validator(f"{pointer}/content/{_escaped(media_type)}/schema").validate(body)

    def validator(self, pointer: str) -> Draft202012Validator:
        """Of the schema at a place in the document."""
        if pointer not in self._validators:
            self._validators[pointer] = Draft202012Validator(
                {"$ref": f"{DOCUMENT}#{pointer}"}, registry=self._registry, format_checker=FormatChecker()
            )
        return self._validators[pointer]

    @cached_property
    def _routes(self) -> list[tuple[re.Pattern[str], str]]:
        templates = sorted(self.document["paths"], key=lambda template: template.count("{"))
        return [(re.compile(_pattern(template)), template) for template in templates]


def _pattern(template: str) -> str:
    """A model identifier has slashes in it."""
    pieces = re.split(r"\{(\w+)\}", template)
    return (
        "".join(
            re.escape(piece) if index % 2 == 0 else ".+" if piece == "model_identifier" else "[^/]+"
            for index, piece in enumerate(pieces)
        )
        + r"\Z"
    )


def _escaped(template: str) -> str:
    return template.replace("~", "~0").replace("/", "~1")
