"""The proof of the ledger: what the scheduled verification found last."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from api import schemas
from api.admin.access import OperatorCaller, documented
from api.admin.targets import not_found
from api.dependencies import Handles
from api.envelope import success, timestamp
from api.samples import answering
from api.samples import success as sample
from api.schemas import Contract, Timestamp
from domain import errors as e
from store import ledger_verifications
from store.connection import single

router = APIRouter(prefix="/admin/v1/ledger", tags=["operator: credits"])


class LedgerVerification(Contract):
    began_at: str = Timestamp
    balanced: bool
    kind: Literal["full", "incremental"] = Field(
        description="Whether everything was read, or what came after the last verification."
    )
    up_to_transfer: int = Field(description="Id of the last transfer that the next verification need not read again.")
    violations: list[str] = Field(description="In words, the first of each kind. Empty: the books balance.")
    entries: int = Field(description="Read and recomputed, like the other three.")
    holds: int
    grants: int
    generations: int
    seconds: float
    rows_per_second: int


_SAMPLE = sample(
    "Ledger verification",
    {
        "began_at": "2026-06-02T08:00:00.412Z",
        "balanced": True,
        "kind": "full",
        "up_to_transfer": 500750,
        "violations": [],
        "entries": 1001500,
        "holds": 249875,
        "grants": 1000,
        "generations": 249875,
        "seconds": 6.2,
        "rows_per_second": 242300,
    },
)


@router.get(
    "/verification",
    responses={200: {"model": schemas.Success[LedgerVerification]}, **documented(e.ResourceNotFound)},
    openapi_extra=answering(_SAMPLE),
)
async def read_ledger_verification(request: Request, _: OperatorCaller, handles: Handles) -> Response:
    """The latest of the scheduled proofs: every hour of what is new in the ledger, and every day of all of it."""
    async with single(handles.pool) as conn:
        found = await ledger_verifications.latest(conn)
    if found is None:
        raise not_found("verification")
    data = LedgerVerification(
        began_at=timestamp(found.began_at),
        balanced=not found.violations,
        kind="full" if found.is_full else "incremental",
        up_to_transfer=found.up_to_transfer,
        violations=found.violations,
        entries=found.entries,
        holds=found.holds,
        grants=found.grants,
        generations=found.generations,
        seconds=round(found.seconds, 3),
        rows_per_second=found.rows_per_second,
    )
    return success(request, "Ledger verification", data)
