"""Low-balance alerts of an account: at which balances it is told, and what it was told."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api import schemas
from api.admin import money_samples as samples
from api.admin import money_schemas as shapes
from api.admin.access import OperatorCaller, documented, note
from api.admin.bodies import accepting, amount_of, body
from api.admin.targets import account_of, open_account
from api.dependencies import Handles
from api.envelope import success, timestamp
from api.samples import answering
from domain import errors as e
from domain.pricing import exact_credits
from store import alerts
from store.alerts import Alert, Alerts, Runway
from store.connection import single, transaction

router = APIRouter(prefix="/admin/v1/accounts/{account_id}/alerts", tags=["operator: credits"])


@router.get(
    "",
    responses={200: {"model": schemas.Success[shapes.AlertsShown]}, **documented(e.ResourceNotFound)},
    openapi_extra=answering(samples.ALERTS),
)
async def read_alerts(request: Request, _: OperatorCaller, handles: Handles, account_id: str) -> Response:
    """The balances below which the account is told by `credits.low_balance`, the hours that its credits should last,
    and what it was told last."""
    async with single(handles.pool) as conn:
        account = await account_of(conn, account_id)
        now = await alerts.get(conn, account.account_id)
        latest = await alerts.latest(conn, account.account_id)
    return success(request, "Low-balance alerts", _shown(account.account_id, now, latest))


@router.put(
    "",
    responses={
        200: {"model": schemas.Success[shapes.AlertsShown]},
        **documented(e.InvalidInput, e.ParameterOutOfRange, e.ResourceNotFound, e.StateConflict),
    },
    openapi_extra=accepting(shapes.AlertsUpdate, samples.ALERTS_BODY, samples.ALERTS),
)
async def set_alerts(
    request: Request,
    caller: OperatorCaller,
    handles: Handles,
    account_id: str,
    asked: Annotated[shapes.AlertsUpdate, Depends(body(shapes.AlertsUpdate))],
) -> Response:
    """These thresholds and no others, and this runway. A threshold that the balance is below already tells after the
    balance has reached it; a runway is looked at every few minutes, and counts what is spent from now on."""
    wanted = [amount_of(threshold, "thresholds") for threshold in asked.thresholds]
    async with transaction(handles.pool) as conn:
        account = await open_account(conn, account_id)
        before = await alerts.get(conn, account.account_id)
        await alerts.put(
            conn,
            account.account_id,
            enabled=asked.enabled,
            thresholds=wanted,
            runway_hours=asked.runway_hours,
        )
        after = await alerts.get(conn, account.account_id)
        if after != before:
            await note(
                conn,
                request,
                caller,
                "alerts.set",
                target_type="account",
                target_id=account.account_id,
                account_id=account.account_id,
                details={
                    "enabled": after.enabled,
                    "microcredits": [threshold.microcredits for threshold in after.thresholds],
                    "runway_hours": after.runway.hours if after.runway else None,
                },
            )
        latest = await alerts.latest(conn, account.account_id)
    return success(request, "Low-balance alerts", _shown(account.account_id, after, latest))


def _shown(account_id: str, now: Alerts, latest: list[Alert]) -> shapes.AlertsShown:
    return shapes.AlertsShown(
        account_id=account_id,
        enabled=now.enabled,
        thresholds=[
            shapes.ThresholdShown(threshold=exact_credits(one.microcredits), armed=one.armed) for one in now.thresholds
        ],
        runway=_runway(now.runway),
        latest=[
            shapes.AlertShown(
                alert_id=one.alert_id,
                balance=exact_credits(one.balance_micros),
                thresholds_crossed=[exact_credits(crossed) for crossed in one.thresholds_micros],
                created_at=timestamp(one.created_at),
            )
            for one in latest
        ],
    )


def _runway(runway: Runway | None) -> shapes.RunwayShown | None:
    if runway is None:
        return None
    told_at = None if runway.told_at is None else timestamp(runway.told_at)
    return shapes.RunwayShown(hours=runway.hours, armed=runway.armed, told_at=told_at)
