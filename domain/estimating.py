"""What a generation would cost, asked without asking for it. Same arithmetic as the reservation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from domain.errors import ParameterOutOfRange
from domain.fields import DURATION, GENERATE_AUDIO, RESOLUTION
from domain.generation import MediaType
from domain.model import Model
from domain.pricing import Quote, quote
from domain.problems import Problem, echo, refuse

COUNT_MAX = 100
AFFORDABLE_MAX = 1_000_000  # the answer for what costs nothing
_WHOLE = re.compile(r"[+-]?[0-9]{1,32}", re.ASCII)
_SECONDS = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,15})?", re.ASCII)


@dataclass(frozen=True)
class Estimate:
    """An answer to `GET /v1/estimate`, but for the balance."""

    model: str
    media_type: MediaType
    quote: Quote
    duration_s: int | None  # videos
    resolution: str | None  # where the price depends on it

    def affordable(self, balance_microcredits: int) -> int:
        """How many generations a balance pays for."""
        each = self.quote.per_generation_microcredits
        return max(balance_microcredits, 0) // each if each else AFFORDABLE_MAX


def estimate(
    model: Model,
    *,
    count: int = 1,
    duration: float | None = None,
    resolution: str | None = None,
    audio: bool = False,
    on: date | None = None,
) -> Estimate:
    """The price of `count` generations, clamped to 1..100. What the model does not have is ignored.

    Raises InvalidInput for a video without a duration, ParameterOutOfRange for a duration or resolution that the
    model does not offer; `details.field` is the query's name for it.
    """
    params: dict[str, Any] = {}
    if model.resolutions:
        chosen = model.default_resolution if resolution is None else resolution
        if chosen not in model.resolutions:
            refuse([_outside("resolution", model.resolutions, chosen)])
        params[RESOLUTION] = chosen
    if model.media_type is MediaType.VIDEO:
        if duration is None:
            refuse([Problem("duration", "missing_required", "duration is required.", allowed=model.durations)])
        allowed = model.durations_at(params.get(RESOLUTION))
        if duration not in allowed:
            refuse([_outside("duration", allowed, duration)])
        params[DURATION] = int(duration)
    if model.audio:
        params[GENERATE_AUDIO] = audio
    price = quote(model, params, min(max(count, 1), COUNT_MAX), on=on)
    tiered = model.prices.at(on).rates.tiers is not None
    return Estimate(
        model=model.identifier,
        media_type=model.media_type,
        quote=price,
        duration_s=params.get(DURATION),
        resolution=params.get(RESOLUTION) if tiered else None,
    )


def estimate_from_query(model: Model, query: Mapping[str, str], *, on: date | None = None) -> Estimate:
    """The same from the texts of a query string. Raises InvalidInput for those that cannot be read."""
    return estimate(
        model,
        count=_whole("count", query.get("count", "1")),
        duration=_seconds(query["duration"]) if "duration" in query and model.durations else None,
        resolution=query.get("resolution"),
        audio=_truth("audio", query.get("audio", "false")),
        on=on,
    )


def _whole(name: str, text: str) -> int:
    if not _WHOLE.fullmatch(text):
        refuse([Problem(name, "invalid_type", f"{name} must be a whole number.", received=echo(text))])
    return int(text)


def _seconds(text: str) -> float:
    if not _SECONDS.fullmatch(text):
        refuse([Problem("duration", "invalid_type", "duration must be a number.", received=echo(text))])
    return float(text)


def _truth(name: str, text: str) -> bool:
    if text not in {"true", "false"}:
        refuse([Problem(name, "invalid_type", f"{name} must be true or false.", received=echo(text))])
    return text == "true"


def _outside(name: str, allowed: tuple[str, ...] | tuple[int, ...], value: object) -> Problem:
    listed = ", ".join(map(str, allowed))
    message = f"{name} must be one of: {listed}."
    return Problem(name, "unsupported_value", message, ParameterOutOfRange, allowed=allowed, received=echo(value))
