"""What providers cost: the margin of each model, and what each attempt cost, to be held against a provider's bill."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from api import schemas
from api.admin.access import OperatorCaller, documented
from api.admin.money_samples import COSTS, MARGINS
from api.admin.statement import End, Named, Start, period_of
from api.admin.targets import not_found
from api.dependencies import Handles
from api.envelope import success, timestamp
from api.query import WholeNumber
from api.samples import answering
from api.schemas import Contract, Timestamp
from domain import errors as e
from domain.pricing import text_from_microcredits
from store import costs
from store.connection import single
from store.costs import PAGE_MAX, Margin, Position, RecordedCost

router = APIRouter(prefix="/admin/v1/costs", tags=["operator: credits"])

POSITION = r"^[0-9]{1,17}-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
_EPOCH = datetime.fromtimestamp(0, UTC)
_MICROSECOND = timedelta(microseconds=1)
_AMOUNT = Field(description="Credits, as a decimal with up to six places; one is one US dollar.", examples=["0.025"])


class ModelMargin(Contract):
    provider: str
    model: str
    revenue: str = _AMOUNT
    cost: str = _AMOUNT
    margin: str = _AMOUNT


class Margins(Contract):
    """Each total is the sum of its column."""

    period_start: str = Timestamp
    period_end: str = Timestamp
    revenue: str = _AMOUNT
    cost: str = _AMOUNT
    margin: str = _AMOUNT
    models: list[ModelMargin] = Field(description="By provider and model.")


class AttemptCost(Contract):
    attempt_id: str
    generation_id: str
    model: str
    native_model: str
    job_id: str | None = Field(description="The provider's id of its job. Null: it is not known whether there is one.")
    state: str
    cost: str = _AMOUNT
    begun_at: str = Timestamp


class AttemptCosts(Contract):
    attempts: list[AttemptCost] = Field(description="Oldest first.")
    next_after: str | None = Field(description="The `after` of the next page; null on the last one.")


@router.get(
    "",
    responses={200: {"model": schemas.Success[Margins]}, **documented(e.InvalidInput)},
    openapi_extra=answering(MARGINS),
)
async def read_margins(
    request: Request,
    _: OperatorCaller,
    handles: Handles,
    period: Annotated[str, Query(description="A year, month or day of UTC: `2026`, `2026-11` or `2026-11-22`.")],
) -> Response:
    """What each model brought in and cost at each provider, failed attempts included, on the days when it ended."""
    asked = period_of(period, None, None)
    async with single(handles.pool) as conn:
        found = await costs.margins(conn, asked)
    revenue, cost = sum(one.revenue_micros for one in found), sum(one.cost_micros for one in found)
    data = Margins(
        period_start=timestamp(asked.start),
        period_end=timestamp(asked.end),
        revenue=text_from_microcredits(revenue),
        cost=text_from_microcredits(cost),
        margin=text_from_microcredits(revenue - cost),
        models=[_margin(one) for one in found],
    )
    return success(request, "Margins", data)


@router.get(
    "/attempts",
    responses={200: {"model": schemas.Success[AttemptCosts]}, **documented(e.InvalidInput, e.ResourceNotFound)},
    openapi_extra=answering(COSTS),
)
async def list_attempt_costs(
    request: Request,
    _: OperatorCaller,
    handles: Handles,
    provider: Annotated[str, Query(description="One of the catalogue, such as `fal`.")],
    period: Named = None,
    start: Start = None,
    end: End = None,
    limit: Annotated[WholeNumber, Query(description="1 to 1000; values outside are clamped.")] = PAGE_MAX,
    after: Annotated[
        str | None, Query(pattern=POSITION, description="`next_after` of the page before; absent: the oldest.")
    ] = None,
) -> Response:
    """What each attempt that began in the period cost us at a provider, also where retention has removed its record.

    Of one that is under way it is what is expected. `babysea costs compare` holds them against the provider's bill.
    """
    asked = period_of(period, start, end)
    if provider not in handles.catalogue.providers:
        raise not_found("provider")
    limit = min(max(limit, 1), PAGE_MAX)
    async with single(handles.pool) as conn:
        found = await costs.recorded(conn, provider, asked, after=_position(after), limit=limit)
    data = AttemptCosts(
        attempts=[_cost(one) for one in found],
        next_after=_text(found[-1].position) if len(found) == limit else None,
    )
    return success(request, "Attempt costs", data)


def _position(text: str | None) -> Position | None:
    if text is None:
        return None
    microseconds, _, attempt_id = text.partition("-")
    return Position(_EPOCH + int(microseconds) * _MICROSECOND, attempt_id)


def _text(position: Position) -> str:
    return f"{(position.begun_at - _EPOCH) // _MICROSECOND}-{position.attempt_id}"


def _margin(one: Margin) -> ModelMargin:
    return ModelMargin(
        provider=one.provider,
        model=one.model,
        revenue=text_from_microcredits(one.revenue_micros),
        cost=text_from_microcredits(one.cost_micros),
        margin=text_from_microcredits(one.revenue_micros - one.cost_micros),
    )


def _cost(one: RecordedCost) -> AttemptCost:
    return AttemptCost(
        attempt_id=one.attempt_id,
        generation_id=one.generation_id,
        model=one.model,
        native_model=one.native_model,
        job_id=one.job_id,
        state=one.state,
        cost=text_from_microcredits(one.cost_microcredits),
        begun_at=timestamp(one.begun_at),
    )
