"""Generations that exist: read, list, cancel, delete. Another account's generation is one that does not exist."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response
from temporalio.client import Client, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.service import RPCError, RPCStatusCode

from api import samples, schemas
from api.dependencies import Handles, Reader, Remover, services
from api.envelope import optional_timestamp, success, timestamp
from api.errors import documented
from api.failures import engine_unanswered, named_failure
from api.query import WholeNumber
from api.services import Services
from domain import errors as e
from domain.assets import ObjectStore, generation_folder
from domain.fields import (
    DURATION,
    GENERATE_AUDIO,
    INPUT_FILE,
    LAST_FRAME,
    OUTPUT_FORMAT,
    OUTPUT_NUMBER,
    PROMPT,
    PROVIDER_ORDER,
    RATIO,
    RESOLUTION,
)
from domain.generation import Cancellation, GenerationStatus, workflow_id
from store import generations, shown
from store.connection import single
from store.shown import ShownGeneration
from workflows.generation import GenerationWorkflow

LIMIT_MAX, LIMIT_DEFAULT = 100, 50
OFFSET_MAX = 2**31 - 1
CANCEL_WITHIN_S = 20.0
DELETE_WITHIN_S = 20.0
_ECHO = (
    PROMPT,
    RATIO,
    OUTPUT_FORMAT,
    OUTPUT_NUMBER,
    INPUT_FILE,
    LAST_FRAME,
    DURATION,
    RESOLUTION,
    GENERATE_AUDIO,
)  # in this order; then what only some models have

log = logging.getLogger("babysea.api")

router = APIRouter(prefix="/v1/content", tags=["content"])


@router.get(
    "/list",
    responses={200: {"model": schemas.Page[schemas.GenerationList]}, **documented(e.InvalidInput)},
    openapi_extra=samples.answering(samples.LISTED),
)
async def list_generations(
    request: Request,
    caller: Reader,
    limit: Annotated[WholeNumber, Query(description="1 to 100; values outside are clamped.")] = LIMIT_DEFAULT,
    offset: Annotated[WholeNumber, Query(description="0 or more.")] = 0,
) -> Response:
    """The account's generations, newest first; deleted ones are not listed."""
    handles = await services(request)
    limit, offset = min(max(limit, 1), LIMIT_MAX), min(max(offset, 0), OFFSET_MAX)
    async with single(handles.pool) as conn:
        records, total = await shown.page(conn, caller.account_id, limit=limit, offset=offset)
    listed = [await _shown(handles, record) for record in records]
    return success(request, "Content list", {"generations": listed}, total=total, limit=limit, offset=offset)


@router.get(
    "/{generation_id}",
    responses={200: {"model": schemas.Success[schemas.Generation]}, **documented(e.GenerationNotFound)},
    openapi_extra=samples.answering(samples.FINISHED),
)
async def read_generation(request: Request, generation_id: str, caller: Reader) -> Response:
    """The record of one generation; there as soon as the request that created it was answered."""
    handles = await services(request)
    record = await _record(handles, caller.account_id, generation_id)
    return success(request, "Content", await _shown(handles, record))


@router.post(
    "/generation/cancel/{generation_id}",
    responses={
        200: {"model": schemas.Success[schemas.GenerationCanceled]},
        **documented(e.GenerationNotFound, e.GenerationNotCancelable, e.EngineUnavailable),
    },
    openapi_extra=samples.answering(samples.CANCELED),
)
async def cancel_generation(request: Request, generation_id: str, caller: Remover, handles: Handles) -> Response:
    """Stop a generation that has not ended. The provider is told, the credits are given back."""
    record = await _record(handles, caller.account_id, generation_id)
    if record.status.terminal:
        raise _not_cancelable()
    cancellation = await _cancel(handles.temporal, record.generation_id)
    data = schemas.GenerationCanceled(
        generation_id=cancellation.generation_id,
        generation_status="canceled",
        provider_cancel_sent=cancellation.provider_cancel_sent,
        credits_refunded=cancellation.credits_refunded,
    )
    return success(request, "Generation canceled", data)


@router.delete(
    "/{generation_id}",
    responses={
        200: {"model": schemas.Success[schemas.GenerationDeleted]},
        **documented(e.GenerationNotFound, e.GenerationInProgress, e.StorageUnavailable),
    },
    openapi_extra=samples.answering(samples.DELETED),
)
async def delete_generation(request: Request, generation_id: str, caller: Remover, handles: Handles) -> Response:
    """Delete a generation that has ended, its files first: a failure leaves a record that can be deleted again."""
    record = await _record(handles, caller.account_id, generation_id)
    if not record.status.terminal:
        raise e.GenerationInProgress("The generation has not ended; cancel it first.")
    await _delete_files(handles.objects, record)
    async with single(handles.pool) as conn:
        await generations.mark_deleted(conn, caller.account_id, record.generation_id)
    files_deleted = 0 if record.files_removed else len(record.asset_keys)  # whichever of several requests removed them
    data = schemas.GenerationDeleted(generation_id=record.generation_id, files_deleted=files_deleted)
    return success(request, "Generation deleted", data)


async def _delete_files(objects: ObjectStore, record: ShownGeneration) -> None:
    """All that was stored for it. Raises StorageUnavailable; then the record is still there to be deleted again."""
    try:
        async with asyncio.timeout(DELETE_WITHIN_S):
            await objects.check()  # one that is down is found out before anything is gone
            await objects.delete_folder(generation_folder(record.region, record.account_id, record.generation_id))
    except TimeoutError as error:
        raise e.StorageUnavailable("The object store did not answer in time.") from error


async def _record(handles: Services, account_id: str, generation_id: str) -> ShownGeneration:
    """Raises GenerationNotFound, also for what is not an id at all."""
    try:
        known_form = str(uuid.UUID(generation_id))
    except ValueError:
        known_form = None
    if known_form is not None:
        async with single(handles.pool) as conn:
            record = await shown.get(conn, account_id, known_form)
        if record is not None:
            return record
    raise e.GenerationNotFound("There is no such generation.")


async def _cancel(temporal: Client, generation_id: str) -> Cancellation:
    """The workflow decides the race with a completion. One that has ended already has lost it for the caller."""
    workflow: WorkflowHandle[Any, Any] = temporal.get_workflow_handle(workflow_id(generation_id))
    try:
        async with asyncio.timeout(CANCEL_WITHIN_S):
            return await workflow.execute_update(GenerationWorkflow.cancel)
    except WorkflowUpdateFailedError as refused:
        raise named_failure(refused) or e.InternalError("An unexpected error occurred.") from refused
    except RPCError as failure:
        if failure.status is RPCStatusCode.NOT_FOUND:
            raise _not_cancelable() from failure
        raise engine_unanswered() from failure
    except Exception as failure:
        log.warning("cancel_unanswered generation=%s cause=%r", generation_id, failure)
        raise engine_unanswered() from failure


async def _shown(handles: Services, record: ShownGeneration) -> dict[str, Any]:
    """The record as the contract lays it out: the echo of the input between the status and the outputs."""
    given = {INPUT_FILE: None, **record.params}
    echo = {name: given.pop(name) for name in _ECHO if name in given}
    given.pop(PROVIDER_ORDER, None)  # shown as it was resolved
    body: dict[str, Any] = {
        "account_id": record.account_id,
        "generation_id": record.generation_id,
        "model_identifier": record.model,
        "generation_provider_order": record.provider_order,
        "generation_provider_used": record.provider_used,
        "generation_prediction_id": record.prediction_id,
        "generation_status": record.status.value,
        **echo,
        **_audio_mode(echo),
        **given,
        "generation_output_file": await _output_files(handles.objects, record, handles.file_url_ttl),
        "generation_created_at": timestamp(record.created_at),
        "generation_started_at": optional_timestamp(record.started_at),
        "generation_completed_at": optional_timestamp(record.completed_at),
        "generation_metrics_total_time": _seconds(record.total_time_s),
        "generation_metrics_predict_time": _seconds(record.predict_time_s),
    }
    if record.status is GenerationStatus.FAILED:
        body["generation_error"] = record.error_message
        body["generation_error_code"] = record.error_code
    if record.files_removed and record.status is GenerationStatus.SUCCEEDED:  # others never had any
        body["generation_removed"] = True
    return body


def _seconds(duration: float | None) -> float | None:
    return None if duration is None else round(duration, 3)


def _audio_mode(params: Mapping[str, Any]) -> dict[str, str]:
    audio = params.get("generation_generate_audio")
    return {} if audio is None else {"generation_audio_mode": "audio" if audio else "noaudio"}


async def _output_files(objects: ObjectStore, record: ShownGeneration, ttl: timedelta) -> list[str] | None:
    if record.status is not GenerationStatus.SUCCEEDED or record.files_removed:
        return None
    return [await objects.url(key, expires_in=ttl) for key in record.asset_keys]


def _not_cancelable() -> e.GenerationNotCancelable:
    return e.GenerationNotCancelable("The generation has already ended.")
