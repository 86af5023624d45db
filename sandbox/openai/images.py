"""OpenAI's images: made while the connection waits, answered as base64."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.connection import reset
from sandbox.forms import Part, form_parts, picture_size
from sandbox.jobs import Job, clock
from sandbox.openai import problems
from sandbox.openai.models import EDITS, GENERATIONS, of_input
from sandbox.parameters import Model
from sandbox.simulated import Parts
from sandbox.submissions import base_url, ended, json_body

_TOKENS = {
    "low": 272,
    "medium": 1056,
    "high": 4160,
    "xhigh": 8320,
    "max": 16640,
}  # of a square; others half as many again


_FILES, _WHOLE = {"image", "mask"}, {"n", "output_compression"}  # parameters that a form cannot show as what they are


class Images:
    def __init__(self, parts: Parts) -> None:
        self._desk = parts.desk
        self._gallery = parts.gallery

    def routes(self, prefix: str) -> list[Route]:
        return [
            Route(f"{prefix}/images/generations", self.generations, methods=["POST"]),
            Route(f"{prefix}/images/edits", self.edits, methods=["POST"]),
        ]

    async def generations(self, request: Request) -> Response:
        problems.authenticate(request)
        return await self._made(request, GENERATIONS, await json_body(request))

    async def edits(self, request: Request) -> Response:
        """Files come in a form, or as addresses in JSON."""
        problems.authenticate(request)
        kind = request.headers.get("content-type", "")
        if kind.startswith("multipart/"):
            parts = form_parts(kind, await request.body())
            return await self._made(request, EDITS, None if parts is None else _from_form(parts))
        return await self._made(request, EDITS, _from_json(await json_body(request)))

    async def _made(self, request: Request, models: Mapping[str, Model], body: Any) -> Response:
        if not isinstance(body, dict):
            raise problems.refused(400, "We could not parse the body of your request.")
        submit = self._desk.received("openai", body)
        if submit.faults.has("reset_before"):
            await reset(request)
        problems.refuse_submit(submit.faults)
        name, given = str(body.get("model")), {key: value for key, value in body.items() if key != "model"}
        if name not in models:
            raise problems.no_such_model(name)
        if found := of_input(models[name], given):
            raise problems.invalid(found)
        queue_s, run_s = self._desk.latency("openai", name, submit)
        job = Job(
            id=f"img_{secrets.token_hex(16)}",
            provider="openai",
            endpoint=name,
            input=given,
            prompt=submit.prompt,
            created_at=clock(),
            queue_s=queue_s,
            run_s=run_s,
            base_url=base_url(request),
            faults=submit.faults,
            failure=problems.image_failure(submit.faults),
        )
        job = await self._desk.accepted(request, job)
        await ended(request, job)
        if job.failure:
            return problems.answer(job.failure["body"], job.failure["status"])
        return problems.answer(await self._document(job, models[name]))

    async def _document(self, job: Job, model: Model) -> dict[str, Any]:
        asked = model.with_defaults(job.input)
        specs = self._gallery.specs(job)
        pictures = [await self._gallery.content(job, index, spec) for index, spec in enumerate(specs)]
        quality = asked["quality"] if asked["quality"] != "auto" else "medium"
        each = _TOKENS[quality] * (2 if specs and specs[0].width == specs[0].height else 3) // 2
        text, images = len(job.prompt) // 4 + 1, 323 * len(asked.get("image", ()))
        return {
            "created": int(job.created_at),
            "background": asked["background"] if asked["background"] != "auto" else "opaque",
            "output_format": asked["output_format"],
            "quality": quality,
            "size": f"{specs[0].width}x{specs[0].height}" if specs else None,
            "data": [{"b64_json": base64.b64encode(picture).decode()} for picture in pictures],
            "usage": {
                "input_tokens": text + images,
                "input_tokens_details": {"text_tokens": text, "image_tokens": images},
                "output_tokens": each * len(specs),
                "output_tokens_details": {"image_tokens": each * len(specs), "text_tokens": 0},
                "total_tokens": text + images + each * len(specs),
            },
        }


def _from_form(parts: list[Part]) -> dict[str, Any]:
    """The body that a form stands for: numbers are text in it, and a file is kept as an address that names it."""
    body: dict[str, Any] = {}
    for part in parts:
        name = part.name.removesuffix("[]")
        if name in _FILES:
            if part.file_name is None or picture_size(part.content) is None:
                raise problems.not_a_picture(name)
            body[name] = [*body.get(name, []), f"data:,{part.file_name}"]
        else:
            body[name] = int(part.text) if name in _WHOLE and part.text.isdecimal() else part.text
    return body | ({"mask": body["mask"][0]} if "mask" in body else {})


def _from_json(body: Any) -> Any:
    """Addresses instead of files: `images` holds objects with exactly one of two keys."""
    if not isinstance(body, dict):
        return body
    if "image" in body or not isinstance(body.get("images"), list):
        raise problems.refused(400, "Missing required parameter: 'images'.", code="missing_required_parameter",
                               param="images")  # fmt: skip
    flat = {name: value for name, value in body.items() if name not in {"images", "mask"}}
    flat["image"] = [_referred(item, "images") for item in body["images"]]
    return flat | ({"mask": _referred(body["mask"], "mask")} if "mask" in body else {})


def _referred(item: Any, param: str) -> str:
    keys = set(item) if isinstance(item, dict) else set()
    if keys not in ({"image_url"}, {"file_id"}):
        raise problems.refused(400, f"Invalid '{param}': give image_url or file_id.", code="invalid_value", param=param)
    named = next(iter(item.values()))
    return str(named) if keys == {"image_url"} else f"data:,{named}"
