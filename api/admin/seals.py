"""Sealed periods of the ledger: what was closed, and the hashes that prove it."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from api import schemas
from api.admin.access import OperatorCaller, documented
from api.admin.bodies import Paged
from api.dependencies import Handles
from api.envelope import success, timestamp
from api.samples import answering
from api.samples import success as sample
from api.schemas import Contract, Timestamp
from domain import errors as e
from store import ledger_seals
from store.connection import single
from store.ledger_seals import Seal

router = APIRouter(prefix="/admin/v1/ledger", tags=["operator: credits"])


class SealShown(Contract):
    number: int = Field(description="From 1 on, without a gap.")
    period: str = Field(description="A month or a day of UTC; else its first day and the first one after it.")
    period_start: str = Timestamp
    period_end: str = Timestamp
    sealed_at: str = Timestamp
    up_to_transfer: int = Field(description="Id of the last transfer of the period, or of one before.")
    transfers: int
    moved_microcredits: str = Field(description="The sum of the transfers; a string, because it may be a large number.")
    balances_microcredits: dict[str, int] = Field(description="Of all accounts together at the end, by kind.")
    previous_hash: str = Field(description="Of the seal before; 64 zeros for the first one.")
    hash: str = Field(description="SHA-256, in hexadecimal digits.")


class SealList(Contract):
    seals: list[SealShown]


_SAMPLE = sample(
    "Ledger seals",
    {
        "seals": [
            {
                "number": 1,
                "period": "2026-05",
                "period_start": "2026-05-01T00:00:00.000Z",
                "period_end": "2026-06-01T00:00:00.000Z",
                "sealed_at": "2026-06-01T00:42:10.118Z",
                "up_to_transfer": 500750,
                "transfers": 500750,
                "moved_microcredits": "2611000000",
                "balances_microcredits": {"available": 400000000, "payment": -1000000000, "revenue": 600000000},
                "previous_hash": "0" * 64,
                "hash": "5f0c3a27b19d0e6c7c35e1e4b0f58b2a9a4d4b5e0d6a61cf9a1b2c3d4e5f6071",
            }
        ]
    },
    total=1,
    limit=50,
    offset=0,
)


@router.get(
    "/seals",
    responses={200: {"model": schemas.Page[SealList]}, **documented(e.InvalidInput)},
    openapi_extra=answering(_SAMPLE),
)
async def list_ledger_seals(request: Request, _: OperatorCaller, handles: Handles, part: Paged) -> Response:
    """The periods that are sealed, newest first. A month is sealed within two hours after its end."""
    async with single(handles.pool) as conn:
        found, total = await ledger_seals.page(conn, limit=part.limit, offset=part.offset)
    data = SealList(seals=[_shown(seal) for seal in found])
    return success(request, "Ledger seals", data, total=total, limit=part.limit, offset=part.offset)


def _shown(seal: Seal) -> SealShown:
    return SealShown(
        number=seal.seal_number,
        period=seal.name,
        period_start=timestamp(seal.period_start),
        period_end=timestamp(seal.period_end),
        sealed_at=timestamp(seal.sealed_at),
        up_to_transfer=seal.up_to_transfer,
        transfers=seal.transfers,
        moved_microcredits=seal.moved_micros,
        balances_microcredits=seal.balances,
        previous_hash=seal.previous_hash,
        hash=seal.hash,
    )
