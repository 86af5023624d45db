"""The simulated OpenAI: images, videos, models, project webhooks."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from sandbox.files import Gallery
from sandbox.openai import problems
from sandbox.openai.images import Images
from sandbox.openai.models import MODELS, compiled_violations, flat
from sandbox.openai.videos import Videos
from sandbox.openai.webhooks import Endpoints, OpenAIRinging
from sandbox.simulated import Parts, Simulated

PREFIX = "/openai/v1"

_endpoints = Endpoints()


def _routes(parts: Parts) -> Sequence[BaseRoute]:
    return [
        *Images(parts).routes(PREFIX),
        *Videos(parts, _endpoints).routes(PREFIX),
        *_endpoints.routes(PREFIX),
        Route(f"{PREFIX}/models", _models),
    ]


async def _models(request: Request) -> Response:
    problems.authenticate(request)
    listed = [{"id": name, "object": "model", "created": 1776729600, "owned_by": "system"} for name in MODELS.known]
    return problems.answer({"object": "list", "data": listed})


def _style(gallery: Gallery, retention_s: float) -> OpenAIRinging:  # noqa: ARG001 - its calls carry nothing but an id
    return OpenAIRinging(_endpoints)


SIMULATED = Simulated(
    name="openai",
    title="OpenAI",
    addresses=(PREFIX,),
    models=MODELS,
    routes=_routes,
    violations=compiled_violations,
    style=_style,
    flat=flat,
)
