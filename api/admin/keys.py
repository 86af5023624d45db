"""API keys of an account: make, list, rotate, revoke, delete. A key itself is shown once and kept nowhere."""

from __future__ import annotations

import os
import uuid
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api import schemas
from api.admin import samples
from api.admin import schemas as shapes
from api.admin.access import OperatorCaller, documented, note
from api.admin.bodies import Paged, accepting, amount_of, body
from api.admin.targets import account_of, id_of, open_account
from api.dependencies import Handles
from api.envelope import optional_timestamp, success, timestamp
from api.samples import answering
from api.services import Services
from domain import errors as e
from domain import keys as rules
from store import keys, spending
from store.connection import single, transaction
from store.keys import ApiKeyRow, KeyOwner, Successor
from store.spending import Period

router = APIRouter(prefix="/admin/v1", tags=["operator: keys"])

_KEYS = "/accounts/{account_id}/keys"
_KEY = _KEYS + "/{api_key_id}"


@router.post(
    _KEYS,
    responses={
        200: {"model": schemas.Success[shapes.KeyMade]},
        **documented(e.InvalidInput, e.ParameterOutOfRange, e.ResourceNotFound, e.StateConflict),
    },
    openapi_extra=accepting(shapes.KeyCreate, samples.KEY_BODY, samples.KEY_CREATED),
)
async def create_key(
    request: Request,
    caller: OperatorCaller,
    handles: Handles,
    account_id: str,
    asked: Annotated[shapes.KeyCreate, Depends(body(shapes.KeyCreate))],
) -> Response:
    """Make a key. What it may do, from where and until when is fixed now; the key is shown this once."""
    row, secret = _minted(handles, account_id, asked)
    async with transaction(handles.pool) as conn:
        await open_account(conn, account_id)
        await keys.insert(conn, row)
        for limit in asked.spending_limits:
            await spending.put(
                conn,
                row.account_id,
                api_key_id=row.api_key_id,
                period=Period(limit.period),
                is_hard=limit.hard,
                limit=amount_of(limit.amount, "spending_limits"),
            )
        made = await keys.get(conn, row.api_key_id)
        await note(
            conn,
            request,
            caller,
            "key.create",
            target_type="key",
            target_id=made.api_key_id,
            account_id=made.account_id,
            details={
                "name": made.name,
                "prefix": made.prefix,
                "scopes": made.scopes,
                "spending_limits": [limit.model_dump() for limit in asked.spending_limits],
            },
        )
    return success(request, "Key created", shapes.KeyMade(**_shown(handles, made).model_dump(), key=secret))


@router.get(
    _KEYS,
    responses={200: {"model": schemas.Page[shapes.KeyList]}, **documented(e.InvalidInput, e.ResourceNotFound)},
    openapi_extra=answering(samples.KEYS),
)
async def list_keys(request: Request, _: OperatorCaller, handles: Handles, account_id: str, part: Paged) -> Response:
    """Oldest first, those that no longer work included."""
    async with single(handles.pool) as conn:
        account = await account_of(conn, account_id)
        found = await keys.of_account(conn, account.account_id)
    data = shapes.KeyList(keys=[_shown(handles, key) for key in part.of(found)])
    return success(request, "Keys", data, total=len(found), limit=part.limit, offset=part.offset)


@router.get(
    "/keys/{api_key_id}",
    responses={200: {"model": schemas.Success[shapes.KeyShown]}, **documented(e.ResourceNotFound)},
    openapi_extra=answering(samples.KEY_READ),
)
async def read_key(request: Request, _: OperatorCaller, handles: Handles, api_key_id: str) -> Response:
    """A key by its id alone: whose it is, and what it may do."""
    async with single(handles.pool) as conn:
        return success(request, "Key", _shown(handles, await keys.get(conn, id_of(api_key_id, "key"))))


@router.post(
    _KEY + "/rotate",
    responses={
        200: {"model": schemas.Success[shapes.KeyMade]},
        **documented(e.InvalidInput, e.ParameterOutOfRange, e.ResourceNotFound, e.StateConflict),
    },
    openapi_extra=accepting(shapes.KeyRotate, samples.KEY_ROTATION, samples.KEY_ROTATED),
)
async def rotate_key(
    request: Request,
    caller: OperatorCaller,
    handles: Handles,
    account_id: str,
    api_key_id: str,
    asked: Annotated[shapes.KeyRotate, Depends(body(shapes.KeyRotate))],
) -> Response:
    """Make a successor that may do the same; the old key goes on working until the grace period ends. Once per key."""
    known_form = id_of(api_key_id, "key")
    minted = rules.mint(handles.keys.api_keys, os.urandom(rules.RANDOM_BYTES))
    async with transaction(handles.pool) as conn:
        account = await open_account(conn, account_id)
        made = await keys.rotate(
            conn,
            known_form,
            Successor(str(uuid.uuid4()), minted.prefix, minted.key_hash),
            account_id=account.account_id,
            grace=rules.grace_of(asked.grace_hours),
        )
        await note(
            conn,
            request,
            caller,
            "key.rotate",
            target_type="key",
            target_id=known_form,
            account_id=account.account_id,
            details={"successor": made.api_key_id, "prefix": made.prefix, "grace_hours": asked.grace_hours},
        )
    handles.authenticator.forget()
    return success(request, "Key rotated", shapes.KeyMade(**_shown(handles, made).model_dump(), key=minted.secret))


@router.post(
    _KEY + "/revoke",
    responses={
        200: {"model": schemas.Success[shapes.KeyShown]},
        **documented(e.ResourceNotFound, e.StateConflict),
    },
    openapi_extra=answering(samples.KEY_REVOKED),
)
async def revoke_key(
    request: Request, caller: OperatorCaller, handles: Handles, account_id: str, api_key_id: str
) -> Response:
    """Make a key useless within a second, and for good."""
    known_form = id_of(api_key_id, "key")
    async with transaction(handles.pool) as conn:
        account = await account_of(conn, account_id)
        await keys.revoke(conn, known_form, account_id=account.account_id)
        revoked = await keys.get(conn, known_form)
        await note(
            conn,
            request,
            caller,
            "key.revoke",
            target_type="key",
            target_id=known_form,
            account_id=account.account_id,
            details={"name": revoked.name, "prefix": revoked.prefix},
        )
    handles.authenticator.forget()
    return success(request, "Key revoked", _shown(handles, revoked))


@router.delete(
    _KEY,
    responses={200: {"model": schemas.Success[shapes.KeyDeleted]}, **documented(e.ResourceNotFound)},
    openapi_extra=answering(samples.KEY_DELETED),
)
async def delete_key(
    request: Request, caller: OperatorCaller, handles: Handles, account_id: str, api_key_id: str
) -> Response:
    """Forget a key, and with it the log of its requests. Totals, generations and the books stay."""
    known_form = id_of(api_key_id, "key")
    async with transaction(handles.pool) as conn:
        account = await account_of(conn, account_id)
        forgotten = await keys.get(conn, known_form, account_id=account.account_id)
        await keys.delete(conn, known_form, account_id=account.account_id)
        await note(
            conn,
            request,
            caller,
            "key.delete",
            target_type="key",
            target_id=known_form,
            account_id=account.account_id,
            details={"name": forgotten.name, "prefix": forgotten.prefix},
        )
    handles.authenticator.forget()
    return success(request, "Key deleted", shapes.KeyDeleted(api_key_id=known_form))


def _minted(handles: Services, account_id: str, asked: shapes.KeyCreate) -> tuple[ApiKeyRow, str]:
    """What is stored, and the key itself. Raises InvalidInput, ResourceNotFound."""
    expires_at = datetime.fromisoformat(asked.expires_at) if asked.expires_at else None
    if expires_at is not None and expires_at <= datetime.now(UTC):
        raise e.InvalidInput("A key must expire in the future.", details={"field": "expires_at"})
    minted = rules.mint(handles.keys.api_keys, os.urandom(rules.RANDOM_BYTES))
    row = ApiKeyRow(
        api_key_id=str(uuid.uuid4()),
        account_id=id_of(account_id, "account"),
        name=rules.key_name(asked.name),
        prefix=minted.prefix,
        key_hash=minted.key_hash,
        scopes=[scope.value for scope in rules.scopes_of(asked.scopes or [asked.preset])],
        region=handles.region,
        ip_allowlist=rules.normal_allowlist(asked.ip_allowlist),
        expires_at=expires_at,
    )
    return row, minted.secret


def _shown(handles: Services, key: KeyOwner) -> shapes.KeyShown:
    state = rules.state(
        now=datetime.now(UTC),
        region=handles.region,
        key_region=key.region,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
        rotated_at=key.rotated_at,
    )
    return shapes.KeyShown(
        api_key_id=key.api_key_id,
        account_id=key.account_id,
        name=key.name,
        prefix=key.prefix,
        scopes=key.scopes,
        state=state.value,
        region=key.region,
        ip_allowlist=key.ip_allowlist,
        created_at=timestamp(key.created_at),
        expires_at=optional_timestamp(key.expires_at),
        rotated_at=optional_timestamp(key.rotated_at),
        revoked_at=optional_timestamp(key.revoked_at),
        last_used_at=optional_timestamp(key.last_used_at),
    )
