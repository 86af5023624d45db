"""Operators read what the scheduled proof of the ledger found last."""

from __future__ import annotations

import httpx

from api.admin.verification import LedgerVerification
from store import ledger_verifications
from store.connection import Pool, single
from store.ledger_verification import Verification
from store.ledger_violations import Violation
from tests.api.reading import data_of, error_of

PATH = "/admin/v1/ledger/verification"


async def test_the_latest_verification_is_shown_and_none_is_not_found(
    http: httpx.AsyncClient, operator: dict[str, str], pool: Pool
) -> None:
    before = await http.get(PATH, headers=operator)
    async with single(pool) as conn:
        await ledger_verifications.keep(conn, Verification(entries=2, seconds=0.25))
        bad = Violation("INV-5", "a", "Account a holds 3.")
        await ledger_verifications.keep(conn, Verification(entries=8, holds=3, seconds=0.5, violations=[bad]))

    shown = data_of(await http.get(PATH, headers=operator), LedgerVerification)

    assert error_of(before) == (404, "BSE3006")
    assert shown.pop("began_at")
    assert shown == {
        "balanced": False,
        "violations": ["INV-5: Account a holds 3."],
        "entries": 8,
        "holds": 3,
        "grants": 0,
        "generations": 0,
        "seconds": 0.5,
    }


async def test_a_customers_key_reads_no_verification(http: httpx.AsyncClient) -> None:
    assert (await http.get(PATH, headers={"authorization": "Bearer bye_none"})).status_code == 401
