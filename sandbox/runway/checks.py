"""What Runway would refuse of a request, and what it makes of the others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sandbox.models import Models
from sandbox.parameters import Model, Parameter
from sandbox.runway.models import ENDPOINTS
from sandbox.validation import Violation
from sandbox.validation import violations as checked

NO_SUCH_MODEL = "No matching discriminator"

_EVERY_ENDPOINT: dict[str, Mapping[str, Parameter]] = {}
for _models in ENDPOINTS.values():
    for _name, _given in _models.items():
        _EVERY_ENDPOINT[_name] = {**_EVERY_ENDPOINT.get(_name, {}), **_given}

# whatever the endpoint: enough to say what comes out
MODELS = Models(
    {
        name: Model("image" if name in ENDPOINTS["/v1/text_to_image"] else "video", "list", given, short_side=720)
        for name, given in _EVERY_ENDPOINT.items()
    }
)


def violations(model: str, endpoint: str, given: Mapping[str, Any]) -> list[Violation]:
    parameters = ENDPOINTS.get(endpoint, {}).get(model)
    if parameters is None:
        return [Violation(("model",), "value", model, NO_SUCH_MODEL)]
    found = checked(Model("video", "list", parameters), given)
    frames = given.get("promptImage")
    if isinstance(frames, list) and not found and {frame.get("position") for frame in frames} == {"last"}:
        found.append(Violation(("promptImage",), "value", frames, "A last frame needs a first frame"))
    return found


def flat(given: Mapping[str, Any]) -> dict[str, Any]:
    """In the words of `sandbox/sizes.py`."""
    names = {"outputCount": "num_outputs", "outputFormat": "output_format", "targetAspectRatio": "aspect_ratio"}
    drawn = {names.get(name, name): value for name, value in given.items() if name != "ratio"}
    pair = re.fullmatch(r"(\d+):(\d+)", str(given.get("ratio")))
    return drawn | ({"width": int(pair[1]), "height": int(pair[2])} if pair else {})
