"""Providers ring here. The route verifies and wakes the workflow; it believes nothing and changes no record."""

from __future__ import annotations

import uuid
from datetime import timedelta

from fastapi import APIRouter, Request
from starlette.responses import Response
from temporalio.api.common.v1 import Payloads, WorkflowExecution
from temporalio.api.workflowservice.v1 import SignalWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from api import schemas
from api.dependencies import Handles
from api.envelope import json_response
from api.errors import documented_only
from api.samples import answering
from api.services import Services
from domain import callback_token
from domain.errors import CallbackRefused, EngineUnavailable, PayloadTooLarge, RouteNotFound
from domain.generation import CallbackReceived, workflow_id
from workflows.generation import GenerationWorkflow

SIGNAL = "provider_callback"
SIGNAL_WITHIN = timedelta(seconds=5)
_EVENTS = uuid.UUID("6f0c5a0e-6a63-5c0d-9d52-2f6d1c1c7a0b")  # name space of the request ids

assert GenerationWorkflow.provider_callback.__name__ == SIGNAL

router = APIRouter(prefix="/v1/callbacks", tags=["callbacks"])


@router.post(
    "/{provider}/{token}",
    responses={
        200: {"model": schemas.CallbackAnswer},
        **documented_only(CallbackRefused, RouteNotFound, PayloadTooLarge, EngineUnavailable),
    },
    openapi_extra=answering({"status": "accepted"}),
)
async def hear_callback(request: Request, provider: str, token: str, handles: Handles) -> Response:
    """Hear that a job may have news. Any failure of ours is a 5xx, so that the provider calls again."""
    verifier = handles.verifiers.get(provider)
    if verifier is None:
        raise _nobody_here()
    generation_id, number = _addressee(handles, provider, token)
    body = await request.body()
    headers = {name.lower(): value for name, value in request.headers.items()}
    notice = await verifier.verify_callback(headers, body)
    received = CallbackReceived(attempt_number=number, event_id=notice.event_id, job_id=notice.job_id)
    heard = await _signal(handles.temporal, generation_id, provider, received)
    return _answer("accepted" if heard else "ignored")


def _addressee(handles: Services, provider: str, token: str) -> tuple[str, int]:
    """A token that does not verify tells its bearer nothing: the path does not exist."""
    try:
        return callback_token.read(handles.callback_key, handles.region, provider, token)
    except CallbackRefused as refused:
        raise _nobody_here() from refused


async def _signal(temporal: Client, generation_id: str, provider: str, received: CallbackReceived) -> bool:
    """False when the workflow has ended. The request id lets the server drop a repeat of the same event."""
    payloads = await temporal.data_converter.encode([received])
    try:
        await temporal.workflow_service.signal_workflow_execution(
            SignalWorkflowExecutionRequest(
                namespace=temporal.namespace,
                workflow_execution=WorkflowExecution(workflow_id=workflow_id(generation_id)),
                signal_name=SIGNAL,
                input=Payloads(payloads=payloads),
                identity=temporal.identity,
                request_id=str(uuid.uuid5(_EVENTS, f"{provider}/{received.attempt_number}/{received.event_id}")),
            ),
            retry=True,
            timeout=SIGNAL_WITHIN,
        )
    except RPCError as failure:
        if failure.status is RPCStatusCode.NOT_FOUND:
            return False
        raise EngineUnavailable("The workflow engine does not answer.") from failure
    except RuntimeError as failure:  # no connection has been made yet
        raise EngineUnavailable("The workflow engine does not answer.") from failure
    return True


def _answer(status: str) -> Response:
    return json_response({"status": status}, 200)


def _nobody_here() -> RouteNotFound:
    return RouteNotFound("There is no such path.")
