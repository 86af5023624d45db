"""The execution record: what the database knows of one generation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from domain.generation import Asset, AttemptFailure, Deviation, GenerationStatus, Measure, MediaType


@dataclass(frozen=True)
class GenerationRecord:
    generation_id: str
    account_id: str
    status: GenerationStatus
    abandoned: bool  # ended before it was admitted; nothing was held
    region: str
    model: str
    media_type: MediaType
    params: dict[str, Any]  # the normal form; empty once deleted
    output_count: int
    output_format: str
    provider_order: list[str]
    prediction_id: str  # our id of the attempt accepted last; until then of the first
    provider_used: str | None
    quote_microcredits: int
    price_version: str
    settled_microcredits: int | None  # once succeeded
    api_key_id: str | None
    replay_of: str | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    predict_time_s: float | None
    assets: list[Asset]
    error_code: str | None
    error_message: str | None
    provider_errors: list[AttemptFailure]
    files_removed: bool  # nothing is stored for it any more
    deleted_at: datetime | None
    deviations: list[Deviation] = field(default_factory=list)  # of what succeeded


def record_of(row: Mapping[str, Any]) -> GenerationRecord:
    """A row of the statement `get`."""
    return GenerationRecord(
        **{
            **row,
            "status": GenerationStatus(row["status"]),
            "media_type": MediaType(row["media_type"]),
            "assets": [Asset(**asset) for asset in row["assets"] or []],
            "provider_errors": [AttemptFailure(**failure) for failure in row["provider_errors"]],
            "deviations": [_deviation(told) for told in row["deviations"] or []],
        }
    )


def _deviation(told: Mapping[str, Any]) -> Deviation:
    return Deviation(**{**told, "measure": Measure(told["measure"])})
