"""One generation as it was decided and run. For operators; without prompts and files."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter, Request
from starlette.responses import Response

from api import schemas
from api.admin import generation_samples as samples
from api.admin import generation_schemas as shapes
from api.admin.access import OperatorCaller, documented
from api.admin.targets import id_of, not_found
from api.dependencies import Handles
from api.envelope import optional_timestamp, success, timestamp
from api.samples import answering
from domain import errors as e
from domain.pricing import exact_credits
from store.attempts import AttemptRecord
from store.connection import single
from store.timeline import Timeline, timeline

router = APIRouter(prefix="/admin/v1/generations", tags=["operator: generations"])


@router.get(
    "/{generation_id}",
    responses={200: {"model": schemas.Success[shapes.GenerationShown]}, **documented(e.ResourceNotFound)},
    openapi_extra=answering(samples.GENERATION),
)
async def show_generation(request: Request, _: OperatorCaller, handles: Handles, generation_id: str) -> Response:
    """Of any account, deleted ones too, as long as the record is kept: which providers were tried or skipped and why,
    what became of each field, and how the outputs differ from what was asked for."""
    async with single(handles.pool) as conn:
        try:
            told = await timeline(conn, id_of(generation_id, "generation"))
        except e.GenerationNotFound:
            raise not_found("generation") from None
    return success(request, "Generation", _shown(told))


def _shown(told: Timeline) -> shapes.GenerationShown:
    record = told.record
    return shapes.GenerationShown(
        generation_id=record.generation_id,
        account_id=record.account_id,
        model_identifier=record.model,
        media_type=record.media_type.value,
        region=record.region,
        status=record.status.value,
        provider_order=record.provider_order,
        provider_used=record.provider_used,
        error_code=record.error_code,
        error_message=record.error_message,
        price_version=record.price_version,
        quote=exact_credits(record.quote_microcredits),
        settled=None if record.settled_microcredits is None else exact_credits(record.settled_microcredits),
        replay_of=record.replay_of,
        created_at=timestamp(record.created_at),
        started_at=optional_timestamp(record.started_at),
        completed_at=optional_timestamp(record.completed_at),
        deleted_at=optional_timestamp(record.deleted_at),
        decision=shapes.DecisionShown.model_validate(asdict(told.decision)) if told.decision else None,
        attempts=[_attempt(attempt) for attempt in told.attempts],
        deviations=[shapes.DeviationShown.model_validate(asdict(deviation)) for deviation in record.deviations],
    )


def _attempt(attempt: AttemptRecord) -> shapes.ProviderAttempt:
    failure, cost = attempt.failure, attempt.cost_microcredits
    return shapes.ProviderAttempt(
        number=attempt.number,
        provider=attempt.provider,
        native_model=attempt.native_model,
        state=attempt.state.value,
        fault=failure.fault if failure else None,
        error_code=failure.code if failure else None,
        error_message=failure.message if failure else None,
        cost=None if cost is None else exact_credits(cost),
        begun_at=timestamp(attempt.begun_at),
        ended_at=optional_timestamp(attempt.ended_at),
    )
