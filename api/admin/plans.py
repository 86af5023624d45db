"""The plans of this deployment. They are data: changed in the file that BABYSEA_PLANS_FILE names."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta

from fastapi import APIRouter, Request
from starlette.responses import Response

from api import schemas
from api.admin import samples
from api.admin import schemas as shapes
from api.admin.access import OperatorCaller, documented
from api.admin.bodies import Paged
from api.dependencies import Handles
from api.envelope import success
from api.samples import answering
from domain import errors as e
from domain.plans import Plan

router = APIRouter(prefix="/admin/v1/plans", tags=["operator: plans"])


@router.get(
    "",
    responses={200: {"model": schemas.Page[shapes.PlanList]}, **documented(e.InvalidInput)},
    openapi_extra=answering(samples.PLANS),
)
async def list_plans(request: Request, _: OperatorCaller, handles: Handles, part: Paged) -> Response:
    """What each plan allows, and how long things are kept."""
    plans = [_shown(plan) for plan in handles.plans.by_identifier.values()]
    data = shapes.PlanList(plans=part.of(plans))
    return success(request, "Plans", data, total=len(plans), limit=part.limit, offset=part.offset)


def _shown(plan: Plan) -> shapes.PlanShown:
    return shapes.PlanShown(
        plan=plan.identifier,
        label=plan.label,
        requests_per_minute=plan.requests_per_minute,
        in_flight={media_type.value: most for media_type, most in plan.in_flight.items()},
        retention_hours={name: kept // timedelta(hours=1) for name, kept in asdict(plan.retention).items()},
    )
