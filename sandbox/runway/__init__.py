"""The simulated Runway: tasks that are polled, addresses that every look mints anew, a DELETE that makes unknown."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.routing import BaseRoute

from sandbox.runway.api import RunwayApi
from sandbox.runway.checks import MODELS, flat, violations
from sandbox.runway.tasks import PREFIX, Tasks
from sandbox.simulated import Parts, Simulated


def _routes(parts: Parts) -> Sequence[BaseRoute]:
    tasks = Tasks(parts.gallery, parts.journal, parts.retention_s)
    return [*tasks.routes(), *RunwayApi(parts, tasks).routes()]


SIMULATED = Simulated(
    name="runway",
    title="Runway",
    addresses=(PREFIX,),
    models=MODELS,
    routes=_routes,
    violations=violations,
    flat=flat,
)
