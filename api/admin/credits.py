"""Credits of an account: what there is, what came and went, and grants."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from psycopg import AsyncConnection
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
from store import ledger, lots
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
    expires_at = _expiry(asked)
    async with transaction(handles.pool) as conn:
        account = await open_account(conn, account_id)
        result = await _grant(conn, account.account_id, amount, asked, expires_at)
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
                details={
                    "microcredits": amount,
                    "source": asked.source,
                    "note": asked.note,
                    **({} if expires_at is None else {"expires_at": timestamp(expires_at)}),
                },
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


@router.get(
    "/lots",
    responses={200: {"model": schemas.Page[shapes.LotList]}, **documented(e.InvalidInput, e.ResourceNotFound)},
    openapi_extra=answering(samples.LOTS),
)
async def list_lots(request: Request, _: OperatorCaller, handles: Handles, account_id: str, part: Paged) -> Response:
    """Credits that expire, newest first, and what became of them. They are spent before those that do not."""
    async with single(handles.pool) as conn:
        account = await account_of(conn, account_id)
        found, total = await lots.of_account(conn, account.account_id, limit=part.limit, offset=part.offset)
    data = shapes.LotList(lots=[_lot(lot) for lot in found])
    return success(request, "Expiring credits", data, total=total, limit=part.limit, offset=part.offset)


async def _grant(
    conn: AsyncConnection[Any], account_id: str, amount: int, asked: shapes.GrantCreate, expires_at: datetime | None
) -> ledger.Granted:
    facts: dict[str, Any] = {"account_id": account_id, "amount": amount, "key": asked.key, "note": asked.note}
    if expires_at is not None:
        return await lots.grant(conn, **facts, expires_at=expires_at)
    return await ledger.grant(conn, **facts, source=ledger.GrantSource(asked.source))


def _expiry(asked: shapes.GrantCreate) -> datetime | None:
    if asked.expires_at is None:
        return None
    if ledger.GrantSource(asked.source) is not ledger.GrantSource.PROMOTION:
        raise e.InvalidInput(
            "Only a promotion expires: what was paid for, or given by hand, stays.", details={"field": "source"}
        )
    expires_at = datetime.fromisoformat(asked.expires_at)
    if expires_at <= datetime.now(UTC):
        raise e.InvalidInput("Credits must expire in the future.", details={"field": "expires_at"})
    return expires_at


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


def _lot(lot: lots.Lot) -> shapes.LotShown:
    return shapes.LotShown(
        lot_id=lot.lot_id,
        key=lot.key,
        note=lot.note,
        granted=exact_credits(lot.granted_micros),
        granted_at=timestamp(lot.granted_at),
        expires_at=timestamp(lot.expires_at),
        state=lot.state.value,
        left=exact_credits(lot.left_micros),
        held=exact_credits(lot.held_micros),
        spent=exact_credits(lot.spent_micros),
        burned=exact_credits(lot.burned_micros),
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
