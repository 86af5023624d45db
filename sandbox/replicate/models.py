"""The models of the simulated Replicate. Any other model is accepted with any input, as a user's own would be."""

from __future__ import annotations

from pathlib import Path

from sandbox.model_notation import read_models
from sandbox.models import Models, guessing
from sandbox.parameters import Model

MODELS = Models(
    read_models(Path(__file__).with_name("models.yml").read_text()),
    guessing(image=Model("image", "list", {}), video=Model("video", "string", {}, short_side=720)),
)
