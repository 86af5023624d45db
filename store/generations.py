"""Generations from admission to their end, as the database keeps them.

`admit` and `finish` are one statement each, and outside of a transaction they let a busy account go before the disk has
answered (decision 0025). They, and `abandon`, may be repeated: once is enough, and a repeat answers as the first time.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from psycopg import AsyncConnection, Error, IntegrityError
from psycopg.errors import DataError, ForeignKeyViolation
from psycopg.rows import class_row, dict_row
from psycopg.types.json import Jsonb

from domain.errors import (
    AccountFrozen,
    AccountNotFound,
    ConcurrencyLimitExceeded,
    EngineUnavailable,
    GenerationInProgress,
    GenerationNotFound,
    InsufficientCredits,
    InternalError,
    InvalidInput,
)
from domain.generation import (
    Admission,
    Finished,
    GenerationRequest,
    GenerationStatus,
    MediaType,
    Outcome,
)
from domain.pricing import text_from_microcredits
from store import spending, sql
from store.connection import flushed
from store.generation_record import GenerationRecord, record_of

HOLD_MARGIN_S = 3600  # the hold outlives the deadlines of all candidates by this
SLOT_RETRY_AFTER = timedelta(seconds=5)

_QUERIES = sql.load("generations")


@dataclass(frozen=True)
class Unended:
    """One that was admitted and has not ended, as the reconciliation walks them."""

    generation_id: str
    account_id: str


async def admit(conn: AsyncConnection[Any], request: GenerationRequest) -> Admission:
    """Record the generation and hold its quote. One statement.

    Raises ConcurrencyLimitExceeded, InsufficientCredits, SpendingLimitReached, AccountFrozen, AccountNotFound,
    InvalidInput for a second replay, or EngineUnavailable when it is too late for this or the generation was abandoned;
    then nothing is written.
    """
    hold_s = request.deadline_s * len(request.candidates) + HOLD_MARGIN_S
    parameters = {
        **_columns(request),
        "hold_s": hold_s,
        "admit_by": request.admit_by,
        "in_flight_max": request.in_flight_max,
        "decision": Jsonb(asdict(request.decision)) if request.decision else None,
    }
    try:
        row = await flushed(conn, _QUERIES["admit"], parameters)
    except ForeignKeyViolation as violation:
        raise AccountNotFound("There is no such account.") from violation
    except DataError as error:
        raise InvalidInput("The parameters hold a character that cannot be stored.") from error
    except Error as error:
        limit = spending.reached(error)
        if limit is None:
            raise
        raise limit from error
    match row[0] if row else None:
        case "admitted":
            return request.admission
        case "full":
            raise ConcurrencyLimitExceeded(
                f"The account has as many {request.media_type.value} generations in flight as its plan allows: "
                f"{request.in_flight_max}.",
                details={"limit": request.in_flight_max},
                retry_after=SLOT_RETRY_AFTER,
            )
        case "insufficient":
            details = {"required_microcredits": request.quote_microcredits}
            needed = text_from_microcredits(request.quote_microcredits)
            raise InsufficientCredits(
                f"This generation needs {needed} credits; the balance is below that.", details=details
            )
        case "frozen":
            raise AccountFrozen("The account is frozen.")
        case "replayed":
            raise InvalidInput("The generation is being run again already, or was so with success.")
        case "late":
            raise EngineUnavailable("The generation could not be admitted in time.")
        case "abandoned":
            raise EngineUnavailable("The generation was given up before it could be admitted.")
        case word:
            raise InternalError(f"The generation was not admitted: {word}.")


async def abandon(conn: AsyncConnection[Any], request: GenerationRequest, *, code: str, message: str) -> bool:
    """Record the generation as failed before anything was held. False when it had been admitted already; then nothing
    changes. Exactly one of this and `admit` wins.
    """
    parameters = {**_columns(request), "error_code": code, "error_message": _text(message)}
    try:
        cursor = await conn.execute(_QUERIES["abandon"], parameters)
    except ForeignKeyViolation as violation:
        raise AccountNotFound("There is no such account.") from violation
    if await cursor.fetchone():
        return True
    cursor = await conn.execute(_QUERIES["was_abandoned"], {"generation_id": request.generation_id})
    row = await cursor.fetchone()
    return bool(row and row[0])


async def finish(conn: AsyncConnection[Any], outcome: Outcome, *, output_urls: list[str] | None = None) -> Finished:
    """End the generation: record, assets, attempts, hold and announcements together. One statement.

    Succeeded settles, failed and canceled release. `output_urls` is what the announcement of a success tells the
    customer. One that has ended already stays as it is: the answer is what is recorded, with the deliveries of its end
    that are still to be rung; where the record is gone by its age, it is what the ledger knows.

    Raises GenerationNotFound, InternalError for an end that the books refuse.
    """
    assert outcome.status.terminal
    parameters = {
        "generation_id": outcome.generation_id,
        "account_id": outcome.account_id,
        "status": outcome.status,
        "settle": outcome.settle_microcredits,
        "attempt_number": outcome.attempt_number,
        "provider_used": outcome.provider_used,
        "cost": outcome.cost_microcredits,
        "predict_time_s": outcome.predict_time_s,
        "error_code": outcome.error_code,
        "error_message": _text(outcome.error_message),
        "provider_errors": Jsonb([asdict(failure) for failure in outcome.provider_errors]),
        "assets": Jsonb([asdict(asset) for asset in outcome.assets]) if outcome.assets else None,
        "output_urls": output_urls or [],
        "deviations": Jsonb([asdict(deviation) for deviation in outcome.deviations]),
    }
    try:
        row = await flushed(conn, _QUERIES["finish"], parameters)
    except IntegrityError as violation:
        raise InternalError("The generation cannot end like this.") from violation
    ended = row[0] if row else None
    if ended is None:
        return await _ended_as(conn, outcome)
    return Finished(
        status=GenerationStatus(ended["status"]),
        deliveries=ended["deliveries"],
        credits_released=ended["credits_released"],
    )


async def _ended_as(conn: AsyncConnection[Any], outcome: Outcome) -> Finished:
    parameters = {"account_id": outcome.account_id, "generation_id": outcome.generation_id}
    row = await (await conn.execute(_QUERIES["ended_as"], parameters)).fetchone()
    if row is None:
        raise GenerationNotFound("There is no such generation.")
    status, credits_released = row
    return Finished(status=GenerationStatus(status), credits_released=credits_released)


async def get(conn: AsyncConnection[Any], account_id: str | None, generation_id: str) -> GenerationRecord | None:
    """The record, unless it is unknown, deleted or another account's. Without an account: also what was deleted."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_QUERIES["get"], {"account_id": account_id, "generation_id": generation_id})
        row = await cursor.fetchone()
    return record_of(row) if row else None


async def in_flight(conn: AsyncConnection[Any], account_id: str, media_type: MediaType) -> int:
    """How many of the account's generations have not ended."""
    cursor = await conn.execute(_QUERIES["in_flight"], {"account_id": account_id, "media_type": media_type})
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def unended(
    conn: AsyncConnection[Any], *, older_than: timedelta, after: str | None = None, limit: int = 100
) -> list[Unended]:
    """Generations admitted longer ago than this that have not ended, oldest first. `after` is the id of the last
    one of the page before."""
    parameters = {"older_than": older_than, "after": after, "limit": limit}
    async with conn.cursor(row_factory=class_row(Unended)) as cursor:
        await cursor.execute(_QUERIES["unended"], parameters)
        return await cursor.fetchall()


async def mark_deleted(conn: AsyncConnection[Any], account_id: str, generation_id: str) -> None:
    """Hide the record and empty its parameters, after its files are gone; the ledger keeps its rows.

    Raises GenerationInProgress before the end, GenerationNotFound, also for the second time.
    """
    parameters = {"account_id": account_id, "generation_id": generation_id}
    cursor = await conn.execute(_QUERIES["mark_deleted"], parameters)
    if cursor.rowcount == 1:
        return
    cursor = await conn.execute(_QUERIES["exists_undeleted"], parameters)
    if await cursor.fetchone():
        raise GenerationInProgress("The generation has not ended; cancel it first.")
    raise GenerationNotFound("There is no such generation.")


def _columns(request: GenerationRequest) -> dict[str, Any]:
    return {
        "generation_id": request.generation_id,
        "account_id": request.account_id,
        "region": request.region,
        "model": request.model,
        "media_type": request.media_type,
        "params": Jsonb(request.params),
        "output_count": request.output_count,
        "output_format": request.output_format,
        "provider_order": request.provider_order,
        "quote": request.quote_microcredits,
        "price_version": request.price_version,
        "prediction_id": request.admission.prediction_id,
        "api_key_id": request.api_key_id,
        "replay_of": request.replay_of,
    }


def _text(text: str | None) -> str | None:
    """PostgreSQL's text holds every character but NUL."""
    return None if text is None else text.replace("\x00", "")
