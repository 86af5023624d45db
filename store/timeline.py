"""Everything that happened to one generation, for people: attempts, money, files and announcements."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row, dict_row

from domain.errors import GenerationNotFound
from domain.generation import Asset, Decision, FieldsAt, Skipped, SkipReason
from store import attempts, sql
from store.attempts import AttemptRecord
from store.generation_record import GenerationRecord, record_of
from store.ledger import AccountKind, Hold, Operation

_GENERATIONS = sql.load("generations")
_QUERIES = sql.load("timeline")


@dataclass(frozen=True)
class TransferLine:
    """One transfer of the generation's hold, with the spendable balance around it."""

    transfer_id: int
    operation: Operation
    debit: AccountKind
    credit: AccountKind
    amount_micros: int
    created_at: datetime
    cause: str | None
    available_before_micros: int | None  # null where the spendable balance was not touched
    available_after_micros: int | None


@dataclass(frozen=True)
class DeliveryAttemptLine:
    number: int
    status_code: int | None
    error: str | None
    reply_head: str | None
    created_at: datetime


@dataclass(frozen=True)
class DeliveryLine:
    """One webhook delivery with the attempts at it."""

    delivery_id: str
    endpoint_id: str
    url: str
    event: str
    state: str
    created_at: datetime
    ended_at: datetime | None
    replay_of: str | None
    attempts: list[DeliveryAttemptLine]


@dataclass(frozen=True)
class Timeline:
    record: GenerationRecord
    attempts: list[AttemptRecord]
    holds: list[Hold]  # one, unless nothing was ever held
    transfers: list[TransferLine]
    deliveries: list[DeliveryLine]
    decision: Decision | None = None  # kept since migration 0017

    @property
    def assets(self) -> list[Asset]:
        return self.record.assets

    @property
    def cost_microcredits(self) -> int:
        """What the providers charge us for all attempts, as far as it is known."""
        return sum(attempt.cost_microcredits or 0 for attempt in self.attempts)


async def timeline(conn: AsyncConnection[Any], generation_id: str) -> Timeline:
    """For operators: any account's generation, deleted ones included. Raises GenerationNotFound."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_GENERATIONS["get"], {"account_id": None, "generation_id": generation_id})
        row = await cursor.fetchone()
    if row is None:
        raise GenerationNotFound("There is no such generation.")
    record = record_of(row)
    parameters = {"account_id": record.account_id, "generation_id": generation_id}
    async with conn.cursor(row_factory=class_row(Hold)) as cursor_of_holds:
        await cursor_of_holds.execute(_QUERIES["hold"], parameters)
        holds = await cursor_of_holds.fetchall()
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_QUERIES["decision"], parameters)
        decided = await cursor.fetchone()
        await cursor.execute(_QUERIES["transfers"], parameters)
        transfers = [_transfer(row) for row in await cursor.fetchall()]
        await cursor.execute(_QUERIES["deliveries"], parameters)
        deliveries = [_delivery(row) for row in await cursor.fetchall()]
    return Timeline(
        record=record,
        attempts=await attempts.of_generation(conn, generation_id),
        holds=holds,
        transfers=transfers,
        deliveries=deliveries,
        decision=_decision(decided["decision"]) if decided else None,
    )


def _decision(told: dict[str, Any]) -> Decision:
    skipped = [Skipped(**{**one, "reason": SkipReason(one["reason"])}) for one in told["skipped"]]
    return Decision(**{**told, "candidates": [FieldsAt(**fields) for fields in told["candidates"]], "skipped": skipped})


def _transfer(row: dict[str, Any]) -> TransferLine:
    words = {
        "operation": Operation(row["operation"]),
        "debit": AccountKind(row["debit"]),
        "credit": AccountKind(row["credit"]),
    }
    return TransferLine(**{**row, **words})


def _delivery(row: dict[str, Any]) -> DeliveryLine:
    tried = [
        DeliveryAttemptLine(**{**attempt, "created_at": datetime.fromisoformat(attempt["created_at"])})
        for attempt in row["attempts"] or []
    ]
    return DeliveryLine(**{**row, "attempts": tried})
