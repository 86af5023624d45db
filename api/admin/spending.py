"""Spending limits of an account and of its keys."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api import schemas
from api.admin import money_samples as samples
from api.admin import money_schemas as shapes
from api.admin.access import OperatorCaller, documented, note
from api.admin.bodies import Paged, accepting, amount_of, body
from api.admin.targets import account_of, id_of, not_found, open_account
from api.dependencies import Handles
from api.envelope import success, timestamp
from api.samples import answering
from domain import errors as e
from domain.pricing import exact_credits
from store import spending
from store.connection import transaction
from store.spending import Limit, Period

router = APIRouter(prefix="/admin/v1/accounts/{account_id}/spending-limits", tags=["operator: credits"])


@router.get(
    "",
    responses={
        200: {"model": schemas.Page[shapes.SpendingLimitList]},
        **documented(e.InvalidInput, e.ResourceNotFound),
    },
    openapi_extra=answering(samples.LIMITS),
)
async def list_spending_limits(
    request: Request, _: OperatorCaller, handles: Handles, account_id: str, part: Paged
) -> Response:
    """The account's own first, then those of its keys, each with what is spent of it in the period that is now."""
    async with transaction(handles.pool) as conn:
        account = await account_of(conn, account_id)
        found = await spending.of_account(conn, account.account_id)
    data = shapes.SpendingLimitList(limits=[shown(limit) for limit in part.of(found)])
    return success(request, "Spending limits", data, total=len(found), limit=part.limit, offset=part.offset)


@router.post(
    "",
    responses={
        200: {"model": schemas.Success[shapes.SpendingLimitShown]},
        **documented(e.InvalidInput, e.ParameterOutOfRange, e.ResourceNotFound, e.StateConflict),
    },
    openapi_extra=accepting(shapes.SpendingLimitCreate, samples.LIMIT_BODY, samples.LIMIT_SET),
)
async def set_spending_limit(
    request: Request,
    caller: OperatorCaller,
    handles: Handles,
    account_id: str,
    asked: Annotated[shapes.SpendingLimitCreate, Depends(body(shapes.SpendingLimitCreate))],
) -> Response:
    """Make a limit, or change the amount of the one that there is for this key or account, period and kind.

    It holds for the very next generation, and what was spent in the period until now counts.
    """
    amount = amount_of(asked.amount, "amount")
    async with transaction(handles.pool) as conn:
        account = await open_account(conn, account_id)
        limit = await spending.put(
            conn,
            account.account_id,
            api_key_id=asked.api_key_id,
            period=Period(asked.period),
            is_hard=asked.hard,
            limit=amount,
        )
        await note(
            conn,
            request,
            caller,
            "spending_limit.set",
            target_type="spending_limit",
            target_id=limit.limit_id,
            account_id=account.account_id,
            details={
                "api_key_id": limit.api_key_id,
                "period": limit.period,
                "hard": limit.is_hard,
                "microcredits": limit.limit_micros,
            },
        )
    return success(request, "Spending limit set", shown(limit))


@router.delete(
    "/{limit_id}",
    responses={
        200: {"model": schemas.Success[shapes.SpendingLimitRemoved]},
        **documented(e.ResourceNotFound),
    },
    openapi_extra=answering(samples.LIMIT_REMOVED),
)
async def remove_spending_limit(
    request: Request, caller: OperatorCaller, handles: Handles, account_id: str, limit_id: str
) -> Response:
    """Limit no more from the very next generation on."""
    known_form = id_of(limit_id, "spending limit")
    async with transaction(handles.pool) as conn:
        account = await account_of(conn, account_id)
        removed = await spending.remove(conn, account.account_id, known_form)
        if removed is None:
            raise not_found("spending limit")
        await note(
            conn,
            request,
            caller,
            "spending_limit.remove",
            target_type="spending_limit",
            target_id=removed.limit_id,
            account_id=account.account_id,
            details={
                "api_key_id": removed.api_key_id,
                "period": removed.period,
                "hard": removed.is_hard,
                "microcredits": removed.limit_micros,
            },
        )
    return success(request, "Spending limit removed", shapes.SpendingLimitRemoved(limit_id=removed.limit_id))


def shown(limit: Limit) -> shapes.SpendingLimitShown:
    return shapes.SpendingLimitShown(
        limit_id=limit.limit_id,
        account_id=limit.account_id,
        api_key_id=limit.api_key_id,
        period=limit.period.value,
        amount=exact_credits(limit.limit_micros),
        hard=limit.is_hard,
        spent=exact_credits(limit.spent_micros),
        resets_at=timestamp(limit.ends_at),
    )
