"""Who may use /admin/v1: operators, by their own keys; and the row that every change of theirs leaves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer
from psycopg import AsyncConnection

from api.dependencies import Handles
from api.envelope import request_id
from api.errors import documented_only
from domain import errors as e
from domain.errors import AuthenticationFailed, AuthenticationRequired
from domain.keys import key_hash
from domain.operators import is_operator_key
from store import audit, operators
from store.connection import single
from store.operators import Operator

_bearer_scheme = HTTPBearer(scheme_name="OperatorKey", description="`Authorization: Bearer byo_...`", auto_error=False)


async def operator(
    request: Request, handles: Handles, _documented: Annotated[object, Security(_bearer_scheme)]
) -> Operator:
    """Whose key this is. One look-up for each request: a revocation takes effect at once.

    Raises AuthRateLimited, AuthenticationRequired, AuthenticationFailed: for API keys, unknown and revoked ones alike.
    """
    scheme, _, sent = request.headers.get("authorization", "").partition(" ")
    secret = sent.strip()
    async with handles.attempts.guarding(request):
        if scheme.lower() != "bearer" or not secret:
            raise AuthenticationRequired("Send an operator key as `Authorization: Bearer byo_...`.")
        found = None
        if is_operator_key(secret):
            async with single(handles.pool) as conn:
                found = await operators.recognise(conn, key_hash(handles.keys.operator_keys, secret))
        if found is None:
            raise AuthenticationFailed("The operator key is invalid or revoked.")
    return found


OperatorCaller = Annotated[Operator, Depends(operator)]


def documented(*kinds: type[e.ControlPlaneError]) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route for operators: its own failures, and those of identifying one."""
    return documented_only(
        *kinds,
        AuthenticationRequired,
        AuthenticationFailed,
        e.AuthRateLimited,
        e.InternalError,
        e.DatabaseUnavailable,
    )


async def note(
    conn: AsyncConnection[Any],
    request: Request,
    caller: Operator,
    action: str,
    *,
    target_type: str,
    target_id: str,
    account_id: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """The audit row of a change, inside its transaction. See `store.audit.note`."""
    await audit.note(
        conn,
        actor=caller.name,
        action=action,
        target_type=target_type,
        target_id=target_id,
        account_id=account_id,
        details=details or {},
        request_id=request_id(request),
    )
