"""The image models of the simulated Workers AI: their input, and the way in which each answers.

Source: the vendor's model schemas, as known in November 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.models import Models
from sandbox.parameters import FILE, SEED, Model, Parameter, number, text, whole
from sandbox.validation import Violation, violations

FORM_FILES = ("input_image_0", "input_image_1", "input_image_2", "input_image_3")
FILE_SIDE_MAX = 512


@dataclass(frozen=True)
class Manner:
    """How a model is asked and answers."""

    form: bool = False  # multipart, and no JSON
    raw: bool = False  # the bytes themselves, and no envelope


def _model(default_format: str, **parameters: Parameter) -> Model:
    return Model("image", "string", {"prompt": text(required=True), **parameters}, format=default_format)


def _sides(least: int, most: int, default: int | None = None) -> dict[str, Parameter]:
    return {"width": whole(least, most, default), "height": whole(least, most, default)}


_NOT_NEGATIVE = Parameter("integer", minimum=0)
_STABLE = _model(
    "png",
    negative_prompt=text(),
    **_sides(256, 2048, 1024),
    image=Parameter("list"),
    image_b64=text(),
    mask=Parameter("list"),
    num_steps=whole(1, 20, 20),
    strength=number(0, 1, 1),
    guidance=Parameter("number", 7.5),
    seed=SEED,
)
_FLUX_2 = {
    "guidance": Parameter("number"),
    "seed": SEED,
    **dict.fromkeys(FORM_FILES, FILE),
}

_LISTED: Mapping[str, tuple[Model, Manner]] = {
    "@cf/black-forest-labs/flux-1-schnell": (
        Model("image", "string", {"prompt": text(required=True, longest=2048), "steps": whole(1, 8, 4)}, format="jpeg"),
        Manner(),
    ),
    "@cf/black-forest-labs/flux-2-dev": (
        _model("jpeg", steps=whole(1, 50, 25), **_sides(256, 1920, 1024), **_FLUX_2),
        Manner(form=True),
    ),
    **dict.fromkeys(
        ("@cf/black-forest-labs/flux-2-klein-4b", "@cf/black-forest-labs/flux-2-klein-9b"),
        (_model("jpeg", steps=whole(4, 4, 4), **_sides(256, 1920, 1024), **_FLUX_2), Manner(form=True)),
    ),
    "@cf/leonardo/lucid-origin": (
        _model(
            "jpeg",
            guidance=number(0, 10, 4.5),
            seed=_NOT_NEGATIVE,
            **_sides(0, 2500, 1120),
            num_steps=whole(1, 40),
            steps=whole(1, 40),
        ),
        Manner(),
    ),
    "@cf/leonardo/phoenix-1.0": (
        _model(
            "jpeg",
            guidance=number(2, 10, 2),
            seed=_NOT_NEGATIVE,
            **_sides(0, 2048, 1024),
            num_steps=whole(1, 50, 25),
            negative_prompt=text(),
        ),
        Manner(raw=True),
    ),
    **dict.fromkeys(
        (
            "@cf/bytedance/stable-diffusion-xl-lightning",
            "@cf/stabilityai/stable-diffusion-xl-base-1.0",
            "@cf/lykon/dreamshaper-8-lcm",
        ),
        (_STABLE, Manner(raw=True)),
    ),
}

MODELS = Models({name: model for name, (model, _) in _LISTED.items()})


def manner_of(name: str) -> Manner:
    return _LISTED[name][1]


def compiled_violations(model: str, _endpoint: str, given: Mapping[str, Any]) -> list[Violation]:
    """Of a native request as our catalogue compiles it: files are addresses."""
    return violations(MODELS.of(model), given)
