"""The models of the simulated Replicate."""

from __future__ import annotations

from sandbox import schemas
from sandbox.models import Models

MODELS = Models(schemas.MODELS["replicate"], lambda name: schemas.model_of("replicate", name))
