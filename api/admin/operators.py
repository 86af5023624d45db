"""Operators: who has a key for this API."""

from __future__ import annotations

import os
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api import schemas
from api.admin import samples
from api.admin import schemas as shapes
from api.admin.access import OperatorCaller, documented, note
from api.admin.bodies import Paged, accepting, body
from api.admin.targets import id_of, not_found
from api.dependencies import Handles
from api.envelope import optional_timestamp, success, timestamp
from api.samples import answering
from domain import errors as e
from domain.keys import RANDOM_BYTES
from domain.operators import mint_operator_key
from store import operators
from store.connection import single, transaction
from store.operators import OperatorRow

router = APIRouter(prefix="/admin/v1/operators", tags=["operator: operators"])


@router.get(
    "",
    responses={200: {"model": schemas.Page[shapes.OperatorList]}, **documented(e.InvalidInput)},
    openapi_extra=answering(samples.OPERATORS),
)
async def list_operators(request: Request, _: OperatorCaller, handles: Handles, part: Paged) -> Response:
    """Oldest first, revoked ones included."""
    async with single(handles.pool) as conn:
        found, total = await operators.page(conn, limit=part.limit, offset=part.offset)
    data = shapes.OperatorList(operators=[_shown(row) for row in found])
    return success(request, "Operators", data, total=total, limit=part.limit, offset=part.offset)


@router.post(
    "",
    responses={200: {"model": schemas.Success[shapes.OperatorMade]}, **documented(e.InvalidInput, e.StateConflict)},
    openapi_extra=accepting(shapes.OperatorCreate, samples.OPERATOR_BODY, samples.OPERATOR_CREATED),
)
async def create_operator(
    request: Request,
    caller: OperatorCaller,
    handles: Handles,
    asked: Annotated[shapes.OperatorCreate, Depends(body(shapes.OperatorCreate))],
) -> Response:
    """Give a person or a program a key for this API. It is shown once and stored nowhere."""
    minted = mint_operator_key(handles.keys.operator_keys, os.urandom(RANDOM_BYTES))
    async with transaction(handles.pool) as conn:
        made = await operators.create(conn, asked.name, minted)
        await note(
            conn,
            request,
            caller,
            "operator.create",
            target_type="operator",
            target_id=made.operator_id,
            details={"name": made.name, "prefix": made.prefix},
        )
    data = shapes.OperatorMade(**_shown(made).model_dump(), key=minted.secret)
    return success(request, "Operator created", data)


@router.post(
    "/{operator_id}/revoke",
    responses={
        200: {"model": schemas.Success[shapes.OperatorShown]},
        **documented(e.ResourceNotFound, e.StateConflict),
    },
    openapi_extra=answering(samples.OPERATOR_REVOKED),
)
async def revoke_operator(request: Request, caller: OperatorCaller, handles: Handles, operator_id: str) -> Response:
    """At once and for good. One may revoke oneself; `babysea operators create` makes another."""
    known_form = id_of(operator_id, "operator")
    async with transaction(handles.pool) as conn:
        if await operators.get(conn, known_form) is None:
            raise not_found("operator")
        if not await operators.revoke(conn, known_form):
            raise e.StateConflict("The operator is revoked already.")
        revoked = await operators.get(conn, known_form)
        assert revoked is not None
        await note(
            conn,
            request,
            caller,
            "operator.revoke",
            target_type="operator",
            target_id=known_form,
            details={"name": revoked.name},
        )
    return success(request, "Operator revoked", _shown(revoked))


def _shown(row: OperatorRow) -> shapes.OperatorShown:
    return shapes.OperatorShown(
        operator_id=row.operator_id,
        name=row.name,
        prefix=row.prefix,
        created_at=timestamp(row.created_at),
        revoked_at=optional_timestamp(row.revoked_at),
        last_used_at=optional_timestamp(row.last_used_at),
    )
