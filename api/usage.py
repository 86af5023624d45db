"""What the account has used in the last days: requests by route, attempts by provider."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api import samples, schemas
from api.dependencies import AccountReader, Handles
from api.envelope import success
from api.errors import documented
from api.query import WholeNumber
from domain.errors import InvalidInput
from domain.pricing import credits, usd
from store import usage
from store.connection import single
from store.usage import EndpointUsage, ProviderUsage, Usage

DAYS_DEFAULT, DAYS_MAX = 30, 90

router = APIRouter(prefix="/v1", tags=["account"])


@router.get(
    "/usage",
    responses={200: {"model": schemas.Success[schemas.Usage]}, **documented(InvalidInput)},
    openapi_extra=samples.answering(samples.USAGE),
)
async def account_usage(
    request: Request,
    caller: AccountReader,
    handles: Handles,
    days: Annotated[WholeNumber, Query(description="1 to 90; values outside are clamped.")] = DAYS_DEFAULT,
) -> Response:
    """Requests and attempts of the last days, each of 24 hours. This request is not among them yet."""
    days = min(max(days, 1), DAYS_MAX)
    await handles.request_log.flush()
    async with single(handles.pool) as conn:
        used = await usage.of_account(conn, caller.account_id, days=days)
    return success(request, "Usage", _shown(caller.account_id, days, used))


def _shown(account_id: str, days: int, used: Usage) -> schemas.Usage:
    """Every total is the sum of its column."""
    return schemas.Usage(
        account_id=account_id,
        usage_period_days=days,
        usage_credit_balance=credits(used.balance_microcredits),
        usage_total_requests=sum(one.requests for one in used.endpoints),
        usage_total_success=sum(one.success for one in used.endpoints),
        usage_total_client_errors=sum(one.client_errors for one in used.endpoints),
        usage_total_server_errors=sum(one.server_errors for one in used.endpoints),
        usage_total_generations=used.generations,
        usage_total_provider_submissions=sum(one.submissions for one in used.providers),
        usage_total_estimated_cost=usd(sum(one.cost_microcredits for one in used.providers)),
        usage_endpoints=[_endpoint(one) for one in used.endpoints],
        usage_providers=[_provider(one) for one in used.providers],
    )


def _endpoint(one: EndpointUsage) -> schemas.EndpointUsage:
    return schemas.EndpointUsage(
        endpoint=one.endpoint,
        total_requests=one.requests,
        success_count=one.success,
        client_error_count=one.client_errors,
        server_error_count=one.server_errors,
        error_codes=dict(one.codes),
    )


def _provider(one: ProviderUsage) -> schemas.ProviderUsage:
    return schemas.ProviderUsage(
        provider=one.provider,
        total_submissions=one.submissions,
        used_count=one.used,
        cancelled_count=one.canceled,
        discarded_count=one.discarded,
        failed_count=one.failed,
        total_estimated_cost=usd(one.cost_microcredits),
        wasted_estimated_cost=usd(one.wasted_microcredits),
    )
