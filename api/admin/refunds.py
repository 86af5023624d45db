"""Refunds: credits of a generation that was settled, given back by an operator."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api import schemas
from api.admin import money_samples as samples
from api.admin import money_schemas as shapes
from api.admin.access import OperatorCaller, documented, note
from api.admin.bodies import accepting, amount_of, body
from api.admin.targets import account_of, id_of, not_found
from api.dependencies import Handles
from api.envelope import success
from domain import errors as e
from domain.pricing import exact_credits
from store import ledger
from store.connection import transaction
from store.ledger import HoldState, Refunded

router = APIRouter(prefix="/admin/v1/accounts/{account_id}/credits", tags=["operator: credits"])


@router.post(
    "/refunds",
    responses={
        200: {"model": schemas.Success[shapes.Refunded]},
        **documented(e.InvalidInput, e.ParameterOutOfRange, e.ResourceNotFound, e.StateConflict),
    },
    openapi_extra=accepting(shapes.RefundCreate, samples.REFUND_BODY, samples.REFUNDED),
)
async def refund_generation(
    request: Request,
    caller: OperatorCaller,
    handles: Handles,
    account_id: str,
    asked: Annotated[shapes.RefundCreate, Depends(body(shapes.RefundCreate))],
) -> Response:
    """Give back what a generation cost, or a part of it, once per key: a repeat answers `already_refunded`.

    All refunds of a generation together are at most what was settled. Also for closed accounts: their books stay open.
    """
    generation_id = id_of(asked.generation_id, "generation")
    async with transaction(handles.pool) as conn:
        account = await account_of(conn, account_id)
        hold = await ledger.hold(conn, account_id=account.account_id, work_id=generation_id)
        if hold is None:
            raise not_found("generation")
        if hold.state is not HoldState.SETTLED:
            raise e.StateConflict("The generation was not paid for.", details={"state": hold.state.value})
        amount = hold.settled_micros if asked.amount is None else amount_of(asked.amount, "amount")
        if amount == 0:
            raise e.StateConflict("The generation cost nothing.")
        word = await ledger.refund_settled(
            conn,
            account_id=account.account_id,
            work_id=generation_id,
            amount=amount,
            actor=caller.name,
            reason=asked.reason,
            key=asked.key,
        )
        if word is Refunded.TOO_MUCH:
            raise e.StateConflict("That is more than what is left of the settlement.", details={"field": "amount"})
        if word is Refunded.CONFLICT:
            raise e.StateConflict("This key was used for another operation.", details={"field": "key"})
        if word is Refunded.REFUNDED:
            await note(
                conn,
                request,
                caller,
                "credits.refund",
                target_type="generation",
                target_id=generation_id,
                account_id=account.account_id,
                details={"microcredits": amount, "reason": asked.reason, "key": asked.key},
            )
        balance = await ledger.balance(conn, account.account_id)
    data = shapes.Refunded(
        result="refunded" if word is Refunded.REFUNDED else "already_refunded",
        generation_id=generation_id,
        refunded=exact_credits(amount),
        account_id=account.account_id,
        available=exact_credits(balance.available),
        held=exact_credits(balance.held),
        debt=exact_credits(balance.debt),
    )
    return success(request, "Generation refunded", data)
