"""Accounts: open, read, change, close."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from api import schemas
from api.admin import samples
from api.admin import schemas as shapes
from api.admin.access import OperatorCaller, documented, note
from api.admin.bodies import NAME, Paged, accepting, body
from api.admin.targets import account_of, open_account
from api.dependencies import Handles
from api.envelope import optional_timestamp, success, timestamp
from api.samples import answering
from domain import errors as e
from domain.plans import Plans
from store import accounts
from store.accounts import Account
from store.connection import single, transaction

router = APIRouter(prefix="/admin/v1/accounts", tags=["operator: accounts"])

_PRIVATE = {"email", "picture_url"}  # the audit log, which forgets nothing, names them and keeps no values


@router.post(
    "",
    responses={200: {"model": schemas.Success[shapes.AccountShown]}, **documented(e.InvalidInput, e.StateConflict)},
    openapi_extra=accepting(shapes.AccountCreate, samples.ACCOUNT_BODY, samples.ACCOUNT_CREATED),
)
async def create_account(
    request: Request,
    caller: OperatorCaller,
    handles: Handles,
    asked: Annotated[shapes.AccountCreate, Depends(body(shapes.AccountCreate))],
) -> Response:
    """Open an account. Its name is unique; it begins without credits."""
    _known(handles.plans, asked.plan)
    async with transaction(handles.pool) as conn:
        account = await accounts.create(conn, **asked.model_dump())
        await note(
            conn,
            request,
            caller,
            "account.create",
            target_type="account",
            target_id=account.account_id,
            account_id=account.account_id,
            details={"name": account.name, "plan": account.plan},
        )
    return success(request, "Account created", _shown(account))


@router.get(
    "",
    responses={200: {"model": schemas.Page[shapes.AccountList]}, **documented(e.InvalidInput)},
    openapi_extra=answering(samples.ACCOUNTS),
)
async def list_accounts(
    request: Request,
    _: OperatorCaller,
    handles: Handles,
    part: Paged,
    name: Annotated[str | None, Query(pattern=NAME, description="Only the account that has this name.")] = None,
) -> Response:
    """Newest first, closed ones included."""
    async with single(handles.pool) as conn:
        found, total = await accounts.page(conn, name=name, limit=part.limit, offset=part.offset)
    data = shapes.AccountList(accounts=[_shown(account) for account in found])
    return success(request, "Accounts", data, total=total, limit=part.limit, offset=part.offset)


@router.get(
    "/{account_id}",
    responses={200: {"model": schemas.Success[shapes.AccountShown]}, **documented(e.ResourceNotFound)},
    openapi_extra=answering(samples.ACCOUNT_READ),
)
async def show_account(request: Request, _: OperatorCaller, handles: Handles, account_id: str) -> Response:
    """One account, a closed one too."""
    async with single(handles.pool) as conn:
        return success(request, "Account", _shown(await account_of(conn, account_id)))


@router.patch(
    "/{account_id}",
    responses={
        200: {"model": schemas.Success[shapes.AccountShown]},
        **documented(e.InvalidInput, e.ResourceNotFound, e.StateConflict),
    },
    openapi_extra=accepting(shapes.AccountUpdate, samples.ACCOUNT_CHANGE, samples.ACCOUNT_UPDATED),
)
async def update_account(
    request: Request,
    caller: OperatorCaller,
    handles: Handles,
    account_id: str,
    asked: Annotated[shapes.AccountUpdate, Depends(body(shapes.AccountUpdate))],
) -> Response:
    """Change what is sent and nothing else. Freezing refuses new generations; those in flight may end."""
    wanted = asked.model_dump(exclude_unset=True)
    if "plan" in wanted:
        _known(handles.plans, wanted["plan"])
    async with transaction(handles.pool) as conn:
        before = await open_account(conn, account_id)
        after = await accounts.update(conn, replace(before, **wanted))
        if after != before:
            await note(
                conn,
                request,
                caller,
                "account.update",
                target_type="account",
                target_id=after.account_id,
                account_id=after.account_id,
                details=_changes(before, after),
            )
    handles.authenticator.forget()
    return success(request, "Account updated", _shown(after))


@router.post(
    "/{account_id}/close",
    responses={
        200: {"model": schemas.Success[shapes.AccountShown]},
        **documented(e.ResourceNotFound, e.StateConflict),
    },
    openapi_extra=answering(samples.ACCOUNT_CLOSED),
)
async def close_account(request: Request, caller: OperatorCaller, handles: Handles, account_id: str) -> Response:
    """For good: its keys stop working, nothing new starts, what is in flight may end. Its books and name are kept."""
    async with transaction(handles.pool) as conn:
        account = await open_account(conn, account_id)
        await accounts.close(conn, account.account_id)
        await note(
            conn,
            request,
            caller,
            "account.close",
            target_type="account",
            target_id=account.account_id,
            account_id=account.account_id,
            details={"name": account.name},
        )
        closed = await account_of(conn, account.account_id)
    handles.authenticator.forget()
    return success(request, "Account closed", _shown(closed))


def _known(plans: Plans, name: str) -> None:
    """`Plans.of` is lenient towards old rows; what is written now must be a plan. Raises InvalidInput."""
    known = list(plans.by_identifier)
    if name.partition(" ")[0].lower() not in known:
        raise e.InvalidInput(
            f"There is no such plan; known are {', '.join(known)}.", details={"field": "plan", "allowed": known}
        )


def _changes(before: Account, after: Account) -> dict[str, Any]:
    names = [name for name in shapes.AccountUpdate.model_fields if getattr(before, name) != getattr(after, name)]
    return {
        name: "changed" if name in _PRIVATE else {"from": getattr(before, name), "to": getattr(after, name)}
        for name in names
    }


def _shown(account: Account) -> shapes.AccountShown:
    return shapes.AccountShown(
        account_id=account.account_id,
        name=account.name,
        email=account.email,
        plan=account.plan,
        is_personal=account.is_personal,
        picture_url=account.picture_url,
        frozen=account.frozen,
        moderation_failover=account.moderation_failover,
        created_at=timestamp(account.created_at),
        closed_at=optional_timestamp(account.closed_at),
    )
