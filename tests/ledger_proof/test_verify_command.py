"""`babysea ledger verify`: the verdict in words, as a document and as an exit code."""

from __future__ import annotations

import asyncio
import json

import pytest
from click.testing import Result
from psycopg import AsyncConnection
from typer.testing import CliRunner

from cli.main import app
from tests.ledger_proof.conftest import damage, take_the_guards_down
from tests.store.builders import an_account
from tests.support.postgres import fresh_database


@pytest.fixture(scope="module")
def url() -> str:
    async def made() -> str:
        url = await fresh_database()
        async with await AsyncConnection.connect(url, autocommit=True) as conn:
            for _ in range(2):
                await an_account(conn, credits=3)
            names = await (await conn.execute("SELECT account_id::text, name FROM store.accounts")).fetchall()
            await take_the_guards_down(conn)
            for position, (account_id, _) in enumerate(names):
                await conn.execute(
                    "UPDATE store.accounts SET name = %s WHERE account_id = %s", [str(position), account_id]
                )
            await damage(conn, "UPDATE ledger.books SET held_micros = 4 WHERE mine AND shard = 0", names[1][0])
        return url

    return asyncio.run(made())


def verified(url: str, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    monkeypatch.setenv("BABYSEA_DATABASE_URL", url)
    monkeypatch.setenv("BABYSEA_SECRET_KEY", "a root secret of the tests, long enough")
    return CliRunner().invoke(app, ["ledger", "verify", *arguments])


def test_bad_books_are_exit_code_one_and_a_sentence(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done = verified(url, monkeypatch)

    assert done.exit_code == 1
    assert "INV-4: The held balance" in done.stderr
    assert "stands at 4 micro-credits after 0 entries; its entries are 0 and sum to 0 micro-credits." in done.stderr
    assert done.stdout.startswith("The ledger is NOT balanced: 4 entries, 0 holds, 2 grants")


def test_the_document_names_the_first_violation_and_the_speed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done = verified(url, monkeypatch, "--json")

    found = json.loads(done.stdout)
    assert (done.exit_code, found["balanced"]) == (1, False)
    assert found["first_violation"].startswith("INV-4: The held balance")
    assert (found["entries"], found["violations"][0]["entry_number"]) == (4, 0)
    assert found["rows_per_second"] > 0


def test_an_account_whose_books_are_good_is_exit_code_zero(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done = verified(url, monkeypatch, "--account", "0")

    assert done.exit_code == 0
    assert done.stdout.startswith("The ledger is balanced: 2 entries, 0 holds, 1 grants and 0 generations in ")


def test_an_unknown_account_is_said(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done = verified(url, monkeypatch, "--account", "nobody")

    assert done.exit_code == 1
    assert "There is no account 'nobody'." in done.stderr
