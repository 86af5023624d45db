"""The audit log: who changed what, and when."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api import schemas
from api.admin import samples
from api.admin import schemas as shapes
from api.admin.access import OperatorCaller, documented
from api.admin.bodies import NAME, UUID, Paged
from api.dependencies import Handles
from api.envelope import success, timestamp
from api.samples import answering
from domain import errors as e
from store import audit
from store.audit import AuditEntry
from store.connection import single

router = APIRouter(prefix="/admin/v1/audit", tags=["operator: audit"])


@router.get(
    "",
    responses={200: {"model": schemas.Page[shapes.AuditList]}, **documented(e.InvalidInput)},
    openapi_extra=answering(samples.AUDIT),
)
async def list_audit(
    request: Request,
    _: OperatorCaller,
    handles: Handles,
    part: Paged,
    account_id: Annotated[str | None, Query(pattern=UUID, description="Only what concerned this account.")] = None,
    actor: Annotated[str | None, Query(pattern=NAME, description="Only what this operator did.")] = None,
) -> Response:
    """Every change that an operator made, newest first. Rows can neither be altered nor removed."""
    async with single(handles.pool) as conn:
        found, total = await audit.page(conn, account_id=account_id, actor=actor, limit=part.limit, offset=part.offset)
    data = shapes.AuditList(entries=[_shown(entry) for entry in found])
    return success(request, "Audit log", data, total=total, limit=part.limit, offset=part.offset)


def _shown(entry: AuditEntry) -> shapes.AuditRow:
    return shapes.AuditRow(
        audit_id=entry.audit_id,
        at=timestamp(entry.at),
        actor=entry.actor,
        action=entry.action,
        target_type=entry.target_type,
        target_id=entry.target_id,
        account_id=entry.account_id,
        request_id=entry.request_id,
        details=dict(entry.details),
    )
