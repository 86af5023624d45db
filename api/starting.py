"""Starting a generation exactly once: Temporal starts the workflow and answers its admission in one call."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any

from temporalio.client import Client, WithStartWorkflowOperation, WorkflowUpdateFailedError
from temporalio.common import (
    Priority,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)

from api.failures import engine_unanswered, named_failure
from domain.errors import AdmissionUnknown, ControlPlaneError, InternalError
from domain.generation import Admission, GenerationRequest, GenerationStatus
from store import generations
from store.connection import Pool, transaction
from workflows import names
from workflows.generation import GenerationWorkflow

ABANDON_WITHIN_S = 5.0

log = logging.getLogger("babysea.api")


async def start_once(temporal: Client, pool: Pool, request: GenerationRequest, *, wait_s: float) -> Admission:
    """Start the workflow and wait until it has recorded the generation and held its credits.

    Raises what admission was refused with (InsufficientCredits, ...); EngineUnavailable when there was no answer, and
    then nothing runs and nothing is held; AdmissionUnknown when even that cannot be made sure of.
    """
    start = _start(request)
    try:
        async with asyncio.timeout(wait_s):
            return await temporal.execute_update_with_start_workflow(
                GenerationWorkflow.admit, id=names.ADMIT_UPDATE_ID, start_workflow_operation=start
            )
    except WorkflowUpdateFailedError as refused:
        named = named_failure(refused)
        if named is not None:
            raise named from refused
        log.exception("admission_failed generation=%s", request.generation_id)  # a bug of ours: the records decide
        return await _admitted_or_abandoned(pool, request, InternalError("An unexpected error occurred."))
    except Exception as lost:  # time is up, Temporal is away, or the answer was lost: the records decide
        log.warning("admission_unanswered generation=%s cause=%r", request.generation_id, lost)
        await _forget(start)
        return await _admitted_or_abandoned(pool, request, engine_unanswered())


async def _admitted_or_abandoned(pool: Pool, request: GenerationRequest, unanswered: ControlPlaneError) -> Admission:
    """Write the generation down as failed before it can be admitted, or learn that it has been admitted."""
    try:
        async with asyncio.timeout(ABANDON_WITHIN_S), transaction(pool) as conn:
            abandoned = await generations.abandon(conn, request, code=unanswered.code, message=unanswered.message)
    except Exception as unknown:
        raise AdmissionUnknown(
            "It is not known whether the generation was accepted. Ask for it by its id before trying again.",
            details={"generation_id": request.generation_id},
        ) from unknown
    if abandoned:
        raise unanswered
    return request.admission  # the same that the workflow answers


def _start(request: GenerationRequest) -> WithStartWorkflowOperation[GenerationWorkflow, GenerationStatus | None]:
    return WithStartWorkflowOperation(
        GenerationWorkflow.run,
        request,
        id=request.workflow_id,
        task_queue=names.GENERATIONS_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,  # our own repeat after a lost answer joins it
        id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,  # and never runs it twice
        search_attributes=TypedSearchAttributes(
            [
                SearchAttributePair(names.ACCOUNT_ID, request.account_id),
                SearchAttributePair(names.MODEL, request.model),
                SearchAttributePair(names.MEDIA_TYPE, request.media_type.value),
                SearchAttributePair(names.REGION, request.region),
                SearchAttributePair(names.GENERATION_STATUS, GenerationStatus.PENDING.value),
            ]
        ),
        priority=Priority(fairness_key=request.account_id),
    )


async def _forget(start: WithStartWorkflowOperation[Any, Any]) -> None:
    """Look at the failure kept in the operation: asyncio would report it as never retrieved."""
    with suppress(Exception, asyncio.CancelledError):
        async with asyncio.timeout(0):
            await start.workflow_handle()
