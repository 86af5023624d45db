"""Adjustments of an account's credits: one operator proposes, another one approves."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from psycopg import AsyncConnection
from starlette.responses import Response

from api import schemas
from api.admin import money_samples as samples
from api.admin import money_schemas as shapes
from api.admin.access import OperatorCaller, documented, note
from api.admin.bodies import UUID, Paged, accepting, amount_of, body
from api.admin.targets import id_of, open_account
from api.dependencies import Handles
from api.envelope import optional_timestamp, success, timestamp
from api.samples import answering
from domain import errors as e
from domain.pricing import exact_credits
from store import adjustments
from store.adjustments import Adjustment
from store.connection import single, transaction
from store.operators import Operator

router = APIRouter(prefix="/admin/v1", tags=["operator: credits"])


@router.post(
    "/accounts/{account_id}/adjustments",
    responses={
        200: {"model": schemas.Success[shapes.AdjustmentShown]},
        **documented(e.InvalidInput, e.ParameterOutOfRange, e.ResourceNotFound, e.StateConflict),
    },
    openapi_extra=accepting(shapes.AdjustmentCreate, samples.ADJUSTMENT_BODY, samples.ADJUSTMENT_PROPOSED),
)
async def propose_adjustment(
    request: Request,
    caller: OperatorCaller,
    handles: Handles,
    account_id: str,
    asked: Annotated[shapes.AdjustmentCreate, Depends(body(shapes.AdjustmentCreate))],
) -> Response:
    """Propose to add or to take credits. Nothing moves until another operator approves, within seven days."""
    amount = amount_of(asked.amount, "amount")
    if amount == 0:
        raise e.ParameterOutOfRange("An adjustment moves something.", details={"field": "amount"})
    async with transaction(handles.pool) as conn:
        account = await open_account(conn, account_id)
        made, is_new = await adjustments.propose(
            conn, caller, account_id=account.account_id, amount=amount, reason=asked.reason, key=asked.key
        )
        if is_new:
            await _note(conn, request, caller, "adjustment.propose", made)
    return success(request, "Adjustment proposed", _shown(made))


@router.get(
    "/adjustments",
    responses={200: {"model": schemas.Page[shapes.AdjustmentList]}, **documented(e.InvalidInput)},
    openapi_extra=answering(samples.ADJUSTMENTS),
)
async def list_adjustments(
    request: Request,
    _: OperatorCaller,
    handles: Handles,
    part: Paged,
    account_id: Annotated[str | None, Query(pattern=UUID, description="Only of this account.")] = None,
    waiting: Annotated[bool, Query(description="Only those that can still be approved.")] = False,
) -> Response:
    """What was proposed, newest first, and what became of it."""
    async with single(handles.pool) as conn:
        found, total = await adjustments.page(
            conn, account_id=account_id, open_only=waiting, limit=part.limit, offset=part.offset
        )
    data = shapes.AdjustmentList(adjustments=[_shown(each) for each in found])
    return success(request, "Adjustments", data, total=total, limit=part.limit, offset=part.offset)


@router.post(
    "/adjustments/{adjustment_id}/approve",
    responses={
        200: {"model": schemas.Success[shapes.AdjustmentShown]},
        **documented(e.ResourceNotFound, e.StateConflict),
    },
    openapi_extra=answering(samples.ADJUSTMENT_APPROVED),
)
async def approve_adjustment(
    request: Request, caller: OperatorCaller, handles: Handles, adjustment_id: str
) -> Response:
    """Move the credits, with both operators in the books. Refused to the one who proposed it."""
    async with transaction(handles.pool) as conn:
        approved = await adjustments.approve(conn, caller, id_of(adjustment_id, "adjustment"))
        await _note(conn, request, caller, "adjustment.approve", approved)
    return success(request, "Adjustment approved", _shown(approved))


@router.post(
    "/adjustments/{adjustment_id}/reject",
    responses={
        200: {"model": schemas.Success[shapes.AdjustmentShown]},
        **documented(e.ResourceNotFound, e.StateConflict),
    },
    openapi_extra=answering(samples.ADJUSTMENT_REJECTED),
)
async def reject_adjustment(request: Request, caller: OperatorCaller, handles: Handles, adjustment_id: str) -> Response:
    """Let it be, for good. Whoever proposed it may withdraw it like this, too."""
    async with transaction(handles.pool) as conn:
        rejected = await adjustments.reject(conn, caller, id_of(adjustment_id, "adjustment"))
        await _note(conn, request, caller, "adjustment.reject", rejected)
    return success(request, "Adjustment rejected", _shown(rejected))


async def _note(
    conn: AsyncConnection[object], request: Request, caller: Operator, action: str, adjustment: Adjustment
) -> None:
    await note(
        conn,
        request,
        caller,
        action,
        target_type="adjustment",
        target_id=adjustment.adjustment_id,
        account_id=adjustment.account_id,
        details={
            "microcredits": adjustment.amount_micros,
            "reason": adjustment.reason,
            "key": adjustment.key,
            "proposed_by": adjustment.proposed_by,
        },
    )


def _shown(adjustment: Adjustment) -> shapes.AdjustmentShown:
    return shapes.AdjustmentShown(
        adjustment_id=adjustment.adjustment_id,
        account_id=adjustment.account_id,
        amount=exact_credits(adjustment.amount_micros),
        reason=adjustment.reason,
        key=adjustment.key,
        state=adjustment.state.value,
        proposed_by=adjustment.proposed_by,
        proposed_at=timestamp(adjustment.proposed_at),
        expires_at=timestamp(adjustment.expires_at),
        decided_by=adjustment.decided_by,
        decided_at=optional_timestamp(adjustment.decided_at),
    )
