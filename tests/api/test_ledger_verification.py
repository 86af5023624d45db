"""Operators read what the scheduled proof of the ledger found last, and which periods are sealed."""

from __future__ import annotations

import httpx
import pytest

from api.admin.seals import SealList
from api.admin.verification import LedgerVerification
from domain.periods import period_named
from store import ledger_seals, ledger_verifications
from store.connection import Pool, single
from store.ledger_verification import Verification
from store.ledger_violations import Violation
from tests.api.reading import data_of, error_of, page_of

PATH = "/admin/v1/ledger/verification"
SEALS = "/admin/v1/ledger/seals"


async def test_the_latest_verification_is_shown_and_none_is_not_found(
    http: httpx.AsyncClient, operator: dict[str, str], pool: Pool
) -> None:
    before = await http.get(PATH, headers=operator)
    async with single(pool) as conn:
        await ledger_verifications.keep(conn, Verification(entries=2, seconds=0.25))
        bad = Violation("INV-5", "a", "Account a holds 3.")
        await ledger_verifications.keep(conn, Verification(False, 12, 8, 3, seconds=0.5, violations=[bad]))

    shown = data_of(await http.get(PATH, headers=operator), LedgerVerification)

    assert error_of(before) == (404, "BSE3006")
    assert shown.pop("began_at")
    assert shown == {
        "balanced": False,
        "kind": "incremental",
        "up_to_transfer": 12,
        "violations": ["INV-5: Account a holds 3."],
        "entries": 8,
        "holds": 3,
        "grants": 0,
        "generations": 0,
        "seconds": 0.5,
        "rows_per_second": 22,
    }


async def test_the_sealed_periods_are_listed_newest_first(
    http: httpx.AsyncClient, operator: dict[str, str], pool: Pool
) -> None:
    """R5."""
    async with single(pool) as conn:
        before = await ledger_seals.close(conn, period_named("2025-12").end)
        made = await ledger_seals.close(conn, period_named("2026-01").end)

    answer = await http.get(SEALS, headers=operator, params={"limit": 1})

    (shown,) = page_of(answer, SealList)["seals"]
    assert answer.json()["total"] == 2
    assert (len(before), len(made)) == (1, 1)
    assert (shown["number"], shown["period"], shown["transfers"]) == (2, "2026-01", 0)
    assert (shown["previous_hash"], shown["hash"]) == (before[0].hash, made[0].hash)


@pytest.mark.parametrize("path", [PATH, SEALS])
async def test_a_customers_key_reads_no_verification(http: httpx.AsyncClient, path: str) -> None:
    assert (await http.get(path, headers={"authorization": "Bearer bye_none"})).status_code == 401
