"""The simulated Cloudflare Workers AI: image models that answer with the picture."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.routing import BaseRoute

from sandbox.cloudflare.api import PREFIX, WorkersAI
from sandbox.cloudflare.models import MODELS, compiled_violations
from sandbox.simulated import Parts, Simulated


def _routes(parts: Parts) -> Sequence[BaseRoute]:
    return WorkersAI(parts).routes()


SIMULATED = Simulated(
    name="cloudflare",
    title="Cloudflare Workers AI",
    addresses=(PREFIX,),
    models=MODELS,
    routes=_routes,
    violations=compiled_violations,
)
