"""One Idempotency-Key, one generation: claim the key, answer once, repeat the same bytes for a day."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from fastapi import Request

from domain.errors import (
    AdmissionUnknown,
    ControlPlaneError,
    FailedAfterStart,
    IdempotencyInProgress,
    IdempotencyKeyReused,
    InvalidIdempotencyKey,
)
from store import idempotency
from store.connection import Pool, single
from store.idempotency import ClaimState

RETRY_AFTER = timedelta(seconds=2)
_WELL_FORMED = re.compile(r"(?P<quote>\"?)(?P<key>[A-Za-z0-9_\-:.]{1,255})(?P=quote)\Z")

log = logging.getLogger("babysea.api")


@dataclass(frozen=True)
class Answer:
    """The exact bytes of a 200. `replayed`: they answer an earlier request."""

    body: bytes
    replayed: bool


@dataclass(frozen=True)
class Claimant:
    """Who wants to create what under which key."""

    account_id: str
    key: str
    fingerprint: str
    generation_id: str


def key_of(request: Request) -> str | None:
    """The header, checked; None when it was not sent. Raises InvalidIdempotencyKey.

    Quoted, as draft-ietf-httpapi-idempotency-key-header-07 writes it, it is the same key.
    """
    sent = request.headers.getlist("idempotency-key")
    if not sent:
        return None
    found = _WELL_FORMED.match(sent[0])
    if len(sent) > 1 or found is None:
        raise InvalidIdempotencyKey("An Idempotency-Key has 1 to 255 characters of A-Z a-z 0-9 _ - : .")
    return found["key"]


def fingerprint(kind: str, model_identifier: str, body: object) -> str:
    """Equal for bodies that mean the same: order of members and spelling of numbers do not matter."""
    canonical = json.dumps([kind, model_identifier, _normal(body)], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


async def once(
    pool: Pool,
    claimant: Claimant,
    *,
    create: Callable[[float], Awaitable[bytes]],
    recover: Callable[[str], Awaitable[bytes | None]],
) -> Answer:
    """Create under the key, or repeat what was answered under it.

    `create` is told until when it may have something admitted: later, another request may have taken over the key.
    `recover` finishes the answer of a generation whose request died unanswered; None when nothing is left of it.
    Raises IdempotencyKeyReused, IdempotencyInProgress and whatever `create` raises; a refusal frees the key.
    """
    claim = await _claim(pool, claimant)
    if claim.state is ClaimState.RECOVER:
        body = await recover(claim.generation_id)
        if body is not None:
            await _complete(pool, claimant, claim.generation_id, body)
            return Answer(body, replayed=True)
        await _free(pool, claimant, claim.generation_id)
        claim = await _claim(pool, claimant)
    match claim.state:
        case ClaimState.REPLAY:
            assert claim.response is not None
            return Answer(claim.response, replayed=True)
        case ClaimState.MISMATCH:
            raise IdempotencyKeyReused("This Idempotency-Key was used with another request.")
        case ClaimState.NEW:
            return await _create(pool, claimant, partial(create, claim.admit_by))
        case _:
            raise IdempotencyInProgress(
                "The first request with this Idempotency-Key has not been answered yet.", retry_after=RETRY_AFTER
            )


async def _create(pool: Pool, claimant: Claimant, create: Callable[[], Awaitable[bytes]]) -> Answer:
    try:
        body = await create()
    except (AdmissionUnknown, FailedAfterStart):
        raise  # it may exist: the key stays claimed until the record, or the end of its lease, decides
    except Exception:  # any error, named or not: a retry executes anew
        await _free(pool, claimant, claimant.generation_id)
        raise
    await _complete(pool, claimant, claimant.generation_id, body)
    return Answer(body, replayed=False)


async def _claim(pool: Pool, claimant: Claimant) -> idempotency.Claim:
    async with single(pool) as conn:
        return await idempotency.claim(
            conn, claimant.account_id, claimant.key, claimant.fingerprint, claimant.generation_id
        )


async def _complete(pool: Pool, claimant: Claimant, generation_id: str, body: bytes) -> None:
    """The generation exists, so the answer stands even if it cannot be kept; its lease will end in a recovery."""
    try:
        async with single(pool) as conn:
            await idempotency.complete(conn, claimant.account_id, claimant.key, generation_id, body)
    except Exception:
        log.exception("idempotent_answer_not_kept generation=%s", generation_id)


async def _free(pool: Pool, claimant: Claimant, generation_id: str) -> None:
    try:
        async with single(pool) as conn:
            await idempotency.free(conn, claimant.account_id, claimant.key, generation_id)
    except ControlPlaneError:
        log.warning("idempotency_key_not_freed generation=%s", generation_id)  # the lease frees it


def _normal(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _normal(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_normal(item) for item in value]
    return value
