"""The simulated Replicate: predictions, models and versions, uploads, signed webhooks."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.routing import BaseRoute

from sandbox.files import Gallery
from sandbox.replicate.api import ReplicateApi
from sandbox.replicate.models import MODELS
from sandbox.replicate.pages import ModelPages
from sandbox.replicate.prediction import PREFIX, Predictions, ReplicateRinging
from sandbox.simulated import Parts, Simulated


def _routes(parts: Parts) -> Sequence[BaseRoute]:
    predictions = Predictions(parts.gallery, parts.retention_s)
    api = ReplicateApi(parts.journal, parts.desk, parts.bell, predictions)
    return [*api.routes(), *ModelPages(parts.journal).routes()]


def _style(gallery: Gallery, retention_s: float) -> ReplicateRinging:
    return ReplicateRinging(Predictions(gallery, retention_s))


SIMULATED = Simulated(
    name="replicate",
    title="Replicate",
    addresses=(PREFIX,),
    models=MODELS,
    routes=_routes,
    violations=lambda model, _, given: MODELS.violations(model.partition(":")[0], given),
    style=_style,
)
