"""The key that asks, as its owner sees it, and the account that it acts for."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter, Request
from starlette.responses import Response

from api import samples, schemas
from api.dependencies import AccountReader, Handles
from api.envelope import optional_timestamp, success, timestamp
from api.errors import documented
from domain.errors import AccountNotFound
from domain.plans import FALLBACK, Plans
from domain.pricing import credits
from store import accounts, billing, ledger
from store.billing import SubscriptionRow
from store.connection import single

router = APIRouter(prefix="/v1", tags=["account"])

_OF_SUBSCRIPTIONS = (
    "billing_subscription_status",
    "billing_cancel_at_period_end",
    "billing_currency",
    "billing_period_starts_at",
    "billing_period_ends_at",
    "billing_created_at",
    "billing_updated_at",
)


@router.get(
    "/status",
    responses={200: {"model": schemas.Success[schemas.KeyStatus]}, **documented()},
    openapi_extra=samples.answering(samples.KEY_STATUS),
)
async def key_status(request: Request, caller: AccountReader) -> Response:
    """Whether the key works, and what it is. Its last use is this one."""
    data = schemas.KeyStatus(
        account_id=caller.account_id,
        apikey_id=caller.api_key_id,
        apikey_name=caller.name,
        apikey_prefix=caller.prefix,
        apikey_created_at=timestamp(caller.created_at),
        apikey_last_used_at=timestamp(datetime.now(UTC)),
        apikey_expires_at=optional_timestamp(caller.expires_at),
    )
    return success(request, "Key is valid", data)


@router.get(
    "/user/account",
    responses={200: {"model": schemas.Success[schemas.Account]}, **documented()},
    openapi_extra=samples.answering(samples.ACCOUNT),
)
async def read_account(request: Request, caller: AccountReader, handles: Handles) -> Response:
    """The account that the key acts for."""
    async with single(handles.pool) as conn:
        account = await accounts.get(conn, caller.account_id)
    if account is None:
        raise AccountNotFound("There is no such account.")
    data = schemas.Account(
        account_id=account.account_id,
        account_name=account.name,
        account_email=account.email,
        account_is_personal=account.is_personal,
        account_picture_url=account.picture_url,
        account_created_at=timestamp(account.created_at),
    )
    return success(request, "Account", data)


@router.get(
    "/user/billing",
    responses={200: {"model": schemas.Success[schemas.Billing]}, **documented()},
    openapi_extra=samples.answering(samples.BILLING),
)
async def read_billing(request: Request, caller: AccountReader, handles: Handles) -> Response:
    """The plan, the balance, and the subscription that the plan comes from. Without one, its fields are null."""
    async with single(handles.pool) as conn:
        balance = await ledger.balance(conn, caller.account_id)
        paid = await billing.subscription_of(conn, caller.account_id)
    data = schemas.Billing.model_validate(
        {
            "account_id": caller.account_id,
            "billing_plan": _plan_label(handles.plans, caller.account_plan),
            "billing_credit_balance": credits(balance.available),
            **_subscription(paid),
        }
    )
    return success(request, "Billing", data)


def _subscription(paid: SubscriptionRow | None) -> dict[str, object]:
    """The fields that only a subscription knows."""
    if paid is None:
        return dict.fromkeys(_OF_SUBSCRIPTIONS)
    values = (
        paid.status,
        paid.cancel_at_period_end,
        paid.currency and paid.currency.upper(),
        optional_timestamp(paid.period_starts_at),
        optional_timestamp(paid.period_ends_at),
        timestamp(paid.created_at),
        timestamp(paid.updated_at),
    )
    return dict(zip(_OF_SUBSCRIPTIONS, values, strict=True))


def _plan_label(plans: Plans, name: str) -> str | None:
    """As customers know it, with the billing period where the name has one. None on the free plan."""
    plan = plans.of(name)
    return None if plan.identifier == FALLBACK else " ".join([plan.label, *name.split()[1:]])
