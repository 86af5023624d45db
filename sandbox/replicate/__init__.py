"""The simulated Replicate: predictions, models and versions, uploads, signed webhooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.routing import BaseRoute

from sandbox.files import Gallery
from sandbox.replicate.api import ReplicateApi
from sandbox.replicate.models import MODELS
from sandbox.replicate.pages import ModelPages
from sandbox.replicate.prediction import PREFIX, Predictions, ReplicateRinging
from sandbox.replicate.versions import COMMUNITY, versions_of
from sandbox.simulated import Parts, Simulated
from sandbox.validation import Violation


def _routes(parts: Parts) -> Sequence[BaseRoute]:
    predictions = Predictions(parts.gallery, parts.retention_s)
    api = ReplicateApi(parts.journal, parts.desk, parts.bell, predictions)
    return [*api.routes(), *ModelPages(parts.journal).routes()]


def _style(gallery: Gallery, retention_s: float) -> ReplicateRinging:
    return ReplicateRinging(Predictions(gallery, retention_s))


def _violations(native_model: str, _endpoint: str, given: Mapping[str, Any]) -> list[Violation]:
    """`owner/name`, or `owner/name:version` as a community model is called."""
    model, _, version = native_model.partition(":")
    allowed = COMMUNITY.get(model) or ("", *versions_of(model))
    wrong = [] if version in allowed else [Violation(("version",), "choice", version, allowed)]
    return wrong + MODELS.violations(model, given)


SIMULATED = Simulated(
    name="replicate",
    title="Replicate",
    addresses=(PREFIX,),
    models=MODELS,
    routes=_routes,
    violations=_violations,
    style=_style,
)
