"""The simulated fal: queue, request history, published keys, signed webhooks."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.routing import BaseRoute

from sandbox.fal.history import FalHistory
from sandbox.fal.models import MODELS
from sandbox.fal.queue import PLATFORM, QUEUE, REST, FalQueue
from sandbox.fal.result import FalRinging, Results
from sandbox.files import Gallery
from sandbox.simulated import Parts, Simulated

_FILES_LIVE_S = 7 * 86400.0


def _routes(parts: Parts) -> Sequence[BaseRoute]:
    results = Results(parts.gallery)
    queue = FalQueue(parts.journal, parts.desk, parts.bell, results, parts.retention_s)
    return [*queue.routes(), *FalHistory(parts.journal, results).routes()]


def _style(gallery: Gallery, retention_s: float) -> FalRinging:  # noqa: ARG001 - its calls carry what does not expire
    return FalRinging(Results(gallery))


SIMULATED = Simulated(
    name="fal",
    title="fal",
    addresses=(QUEUE, REST, PLATFORM),
    models=MODELS,
    routes=_routes,
    violations=lambda model, _, given: MODELS.violations(model, given),
    style=_style,
    files_live_s=_FILES_LIVE_S,
)
