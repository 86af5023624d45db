"""The models of the simulated fal. Any other endpoint is accepted with any input, as a user's own would be."""

from __future__ import annotations

from pathlib import Path

from sandbox.model_notation import read_models
from sandbox.models import Models, guessing
from sandbox.parameters import Model

MODELS = Models(
    read_models(Path(__file__).with_name("models.yml").read_text()),
    guessing(image=Model("image", "images", {}, flags_nsfw=True), video=Model("video", "video", {}, short_side=720)),
)
