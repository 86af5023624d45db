"""The models of the simulated fal."""

from __future__ import annotations

from sandbox import schemas
from sandbox.models import Models

MODELS = Models(schemas.MODELS["fal"], lambda name: schemas.model_of("fal", name))
