"""The simulated BFL: tasks on a cluster of their own, files that live ten minutes, callbacks."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.routing import BaseRoute

from sandbox.bfl.api import BflApi
from sandbox.bfl.models import MODELS, flat, violations
from sandbox.bfl.tasks import PREFIX, BflRinging, Tasks
from sandbox.files import Gallery
from sandbox.simulated import Parts, Simulated


def _routes(parts: Parts) -> Sequence[BaseRoute]:
    tasks = Tasks(parts.gallery, parts.retention_s)
    return [*tasks.routes(), *BflApi(parts, tasks).routes()]


def _style(gallery: Gallery, retention_s: float) -> BflRinging:
    return BflRinging(Tasks(gallery, retention_s))


SIMULATED = Simulated(
    name="bfl",
    title="BFL",
    addresses=(PREFIX,),
    models=MODELS,
    routes=_routes,
    violations=lambda model, _, given: violations(model, given),
    style=_style,
    flat=flat,
)
