"""Asking for an image or a video: parse, plan, start once, answer. No provider is called before the answer."""

from __future__ import annotations

import logging
import math
import time
import uuid
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api import idempotency, schemas
from api.dependencies import Handles, Writer
from api.envelope import replayed, success_body
from api.errors import documented
from api.openapi import IMAGE_OPERATION, VIDEO_OPERATION
from api.services import Services
from api.starting import start_once
from domain import errors as e
from domain import strict_json
from domain.generation import Admission, GenerationRequest, GenerationStatus, MediaType, attempt_id
from domain.planning import plan_generation
from store import generations
from store.connection import single
from store.keys import KeyOwner

log = logging.getLogger("babysea.api")

router = APIRouter(prefix="/v1/generate", tags=["generations"])

_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": schemas.Success[schemas.GenerationAccepted | schemas.GenerationAlreadyCanceled]},
    **documented(
        e.ConcurrencyLimitExceeded,
        e.InsufficientCredits,
        e.SpendingLimitReached,
        e.AccountFrozen,
        e.InvalidInput,
        e.ParameterOutOfRange,
        e.PayloadTooLarge,
        e.ModelNotFound,
        e.UnsupportedProviderOrder,
        e.ModelTypeMismatch,
        e.ModelUnpriced,
        e.InvalidIdempotencyKey,
        e.IdempotencyKeyReused,
        e.IdempotencyInProgress,
        e.UnsupportedMediaType,
        e.InputFileRefused,
        e.InputImageTooLarge,
        e.InputImageTooSmall,
        e.InputFormatUnsupported,
        e.InputFileTooBig,
        e.InputFileUnreachable,
        e.StorageUnavailable,
        e.ProviderUnavailable,
        e.ProviderPaused,
        e.EngineUnavailable,
        e.AdmissionUnknown,
        e.FailedAfterStart,
    ),
}


async def json_bytes(request: Request) -> bytes:
    """The body as it was sent. Raises UnsupportedMediaType, PayloadTooLarge."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise e.UnsupportedMediaType("The body must be sent as application/json.")
    return await request.body()


JsonBytes = Annotated[bytes, Depends(json_bytes)]  # asked for before the caller, so that it is checked first


@dataclass(frozen=True)
class Ask:
    """One request to generate something, by an identified caller."""

    request: Request
    caller: KeyOwner
    media_type: MediaType
    model_identifier: str
    raw: bytes


@router.post("/image/{model_identifier:path}", responses=_RESPONSES, openapi_extra=IMAGE_OPERATION)
async def generate_image(
    request: Request, raw: JsonBytes, caller: Writer, model_identifier: str, handles: Handles
) -> Response:
    """Ask for images. The answer comes when the generation is recorded and its credits are held."""
    return await _answered(handles, Ask(request, caller, MediaType.IMAGE, model_identifier, raw))


@router.post("/video/{model_identifier:path}", responses=_RESPONSES, openapi_extra=VIDEO_OPERATION)
async def generate_video(
    request: Request, raw: JsonBytes, caller: Writer, model_identifier: str, handles: Handles
) -> Response:
    """Ask for a video. The answer comes when the generation is recorded and its credits are held."""
    return await _answered(handles, Ask(request, caller, MediaType.VIDEO, model_identifier, raw))


async def _answered(handles: Services, ask: Ask) -> Response:
    key = idempotency.key_of(ask.request)
    body = strict_json.parse(ask.raw)
    generation_id = str(uuid.uuid4())
    if key is None:
        return Response(await _created(handles, ask, body, generation_id, math.inf), media_type="application/json")
    claimant = idempotency.Claimant(
        account_id=ask.caller.account_id,
        key=key,
        fingerprint=idempotency.fingerprint(ask.media_type.value, ask.model_identifier.removesuffix("/"), body),
        generation_id=generation_id,
    )
    answer = await idempotency.once(
        handles.pool,
        claimant,
        create=partial(_created, handles, ask, body, generation_id),
        recover=partial(_recovered, handles, ask),
    )
    if answer.replayed:
        return replayed(ask.request, answer.body)
    return Response(answer.body, media_type="application/json")


async def _created(handles: Services, ask: Ask, body: object, generation_id: str, admit_by: float) -> bytes:
    """`admit_by`: an admission later than this is refused, however much time the steps before it took."""
    planned = plan_generation(
        handles.catalogue,
        account_id=ask.caller.account_id,
        api_key_id=ask.caller.api_key_id,
        region=handles.region,
        model_identifier=ask.model_identifier,
        media_type=ask.media_type,
        body=body,
        available_providers=handles.available_providers,
        paused_providers=await handles.paused.names(),
        open_breakers=await handles.open_breakers.names(),
        generation_id=generation_id,
        admit_by=time.time() + handles.admission_wait_s,
        deadlines=handles.deadlines,
        in_flight_max=handles.plans.of(ask.caller.account_plan).in_flight[ask.media_type],
        addresses=handles.addresses,
        moderation_failover=ask.caller.account_moderation_failover,
    )
    async with handles.input_files.kept(planned) as ready:
        return await _started(handles, ask, replace(ready, admit_by=min(ready.admit_by, admit_by)))


async def _started(handles: Services, ask: Ask, planned: GenerationRequest) -> bytes:
    try:
        wait_s = planned.admit_by - time.time()
        admission = await start_once(handles.temporal, handles.pool, planned, wait_s=wait_s)
        return _accepted(ask.request, admission)
    except e.ControlPlaneError:
        raise
    except Exception as bug:  # a client repeats an internal error, but this one may have left a generation behind
        log.exception("create_failed generation=%s", planned.generation_id)
        raise e.FailedAfterStart(
            "An unexpected error occurred. Ask for the generation by its id before trying again.",
            details={"generation_id": planned.generation_id},
        ) from bug


async def _recovered(handles: Services, ask: Ask, generation_id: str) -> bytes | None:
    """The answer that an earlier request owes, for a generation that was deleted since as well: it was paid for under
    this key. None when its record is gone."""
    async with single(handles.pool) as conn:
        record = await generations.get(conn, None, generation_id)  # the claim says whose it is
    if record is None:
        return None
    if record.status is GenerationStatus.CANCELED:
        canceled = schemas.GenerationAlreadyCanceled(generation_id=generation_id, generation_status="canceled")
        return success_body(ask.request, "Generation was canceled", canceled)
    admission = Admission(
        generation_id=generation_id,
        model=record.model,
        provider_order=record.provider_order,
        prediction_id=attempt_id(generation_id, 1),
    )
    return _accepted(ask.request, admission)


def _accepted(request: Request, admission: Admission) -> bytes:
    data = schemas.GenerationAccepted(
        model_identifier=admission.model,
        generation_provider_order=admission.provider_order,
        generation_prediction_id=admission.prediction_id,
        generation_id=admission.generation_id,
        generation_initialized=True,
    )
    return success_body(request, "Generation started", data)
