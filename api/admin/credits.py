"""Credits of an account: what there is, what came and went, and grants."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api import schemas
from api.admin import samples
from api.admin import schemas as shapes
from api.admin.access import OperatorCaller, documented, note
from api.admin.bodies import Paged, accepting, body
from api.admin.targets import account_of, open_account
from api.dependencies import Handles
from api.envelope import success, timestamp
from api.samples import answering
from domain import errors as e
from domain.pricing import exact_credits, microcredits_from_number
from store import ledger
from store.connection import single, transaction

router = APIRouter(prefix="/admin/v1/accounts/{account_id}/credits", tags=["operator: credits"])


@router.get(
    "",
    responses={200: {"model": schemas.Success[shapes.Balance]}, **documented(e.ResourceNotFound)},
    openapi_extra=answering(samples.BALANCE),
)
async def read_balance(request: Request, _: OperatorCaller, handles: Handles, account_id: str) -> Response:
    """What the account may spend, what is held for generations in flight, and what it owes."""
    async with single(handles.pool) as conn:
        account = await account_of(conn, account_id)
        balance = await ledger.balance(conn, account.account_id)
    return success(request, "Credit balance", _balance(account.account_id, balance))


@router.post(
    "/grants",
    responses={
        200: {"model": schemas.Success[shapes.Granted]},
        **documented(e.InvalidInput, e.ParameterOutOfRange, e.ResourceNotFound, e.StateConflict),
    },
    openapi_extra=accepting(shapes.GrantCreate, samples.GRANT_BODY, samples.GRANTED),
)
async def grant_credits(
    request: Request,
    caller: OperatorCaller,
    handles: Handles,
    account_id: str,
    asked: Annotated[shapes.GrantCreate, Depends(body(shapes.GrantCreate))],
) -> Response:
    """Add credits, once per key however often this is sent: a repeat answers `already_granted` and changes nothing."""
    amount = _amount(asked.amount)
    async with transaction(handles.pool) as conn:
        account = await open_account(conn, account_id)
        result = await ledger.grant(
            conn,
            account_id=account.account_id,
            amount=amount,
            source=ledger.GrantSource(asked.source),
            key=asked.key,
            note=asked.note,
        )
        if result is ledger.Granted.CONFLICT:
            raise e.StateConflict("This key was used for another grant; nothing was added.", details={"field": "key"})
        if result is ledger.Granted.GRANTED:
            await note(
                conn,
                request,
                caller,
                "credits.grant",
                target_type="grant",
                target_id=asked.key,
                account_id=account.account_id,
                details={"microcredits": amount, "source": asked.source, "note": asked.note},
            )
        balance = await ledger.balance(conn, account.account_id)
    word: Literal["granted", "already_granted"] = "granted" if result is ledger.Granted.GRANTED else "already_granted"
    data = shapes.Granted(result=word, **_balance(account.account_id, balance).model_dump())
    return success(request, "Credits granted", data)


@router.get(
    "/entries",
    responses={200: {"model": schemas.Page[shapes.EntryList]}, **documented(e.InvalidInput, e.ResourceNotFound)},
    openapi_extra=answering(samples.ENTRIES),
)
async def list_entries(request: Request, _: OperatorCaller, handles: Handles, account_id: str, part: Paged) -> Response:
    """Every movement of the spendable balance, newest first."""
    async with single(handles.pool) as conn:
        account = await account_of(conn, account_id)
        entries, total = await ledger.page(conn, account.account_id, limit=part.limit, offset=part.offset)
    data = shapes.EntryList(entries=[_entry(entry) for entry in entries])
    return success(request, "Credit entries", data, total=total, limit=part.limit, offset=part.offset)


def _amount(sent: float) -> int:
    try:
        return microcredits_from_number(sent)
    except e.InvalidInput as wrong:
        raise e.InvalidInput(wrong.message, details={"field": "amount"}) from wrong


def _balance(account_id: str, balance: ledger.Balance) -> shapes.Balance:
    return shapes.Balance(
        account_id=account_id,
        available=exact_credits(balance.available),
        held=exact_credits(balance.held),
        debt=exact_credits(balance.debt),
    )


def _entry(entry: ledger.Entry) -> shapes.Entry:
    return shapes.Entry(
        entry_id=entry.transfer_id,
        operation=entry.operation.value,
        amount=exact_credits(entry.amount_micros),
        balance_after=exact_credits(entry.balance_micros),
        generation_id=entry.work_id,
        key=entry.key,
        created_at=timestamp(entry.created_at),
    )
