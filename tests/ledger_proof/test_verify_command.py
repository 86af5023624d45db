"""`babysea ledger verify`: the verdict in words, as a document and as an exit code."""

from __future__ import annotations

import asyncio
import json

import psycopg
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


def test_what_is_new_is_everything_while_there_was_no_scheduled_proof(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = verified(url, monkeypatch, "--incremental", "--json")

    assert (done.exit_code, json.loads(done.stdout)["kind"], json.loads(done.stdout)["entries"]) == (1, "full", 4)


def test_what_excludes_each_other_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert verified(url, monkeypatch, "--incremental", "--seals").exit_code == 2


def test_months_are_sealed_listed_and_verified_and_a_changed_one_is_named(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R5."""

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["ledger", *arguments])

    verified(url, monkeypatch)  # sets the environment
    too_early = run("seal", "--period", "2099-01")
    made = json.loads(run("seal", "--period", "2025-12", "--json").stdout)
    again = run("seal", "--period", "2025-12")
    listed, table = json.loads(run("seals", "--json").stdout), run("seals")
    good = run("verify", "--seals")
    with psycopg.connect(url, autocommit=True) as conn:  # its guards are down
        conn.execute("UPDATE ledger.seals SET hash = repeat('a', 64)")
    bad, bad_document = run("verify", "--seals"), json.loads(run("verify", "--seals", "--json").stdout)

    assert "is sealed 5 minutes after its end" in too_early.stderr
    assert [one["period"] for one in made] == ["2025-12"]
    assert again.stdout == "There is nothing to seal.\n"
    assert listed == made
    assert table.stdout.splitlines()[1].split()[:2] == ["2025-12", "0"]
    assert (good.exit_code, good.stdout[:36]) == (0, "The 1 sealed periods are unchanged: ")
    assert (bad.exit_code, bad_document["unchanged"]) == (1, False)
    assert "R5: The sealed period 2025-12 is not what it was: its hash is" in bad.stderr


def test_an_unknown_account_is_said(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done = verified(url, monkeypatch, "--account", "nobody")

    assert done.exit_code == 1
    assert "There is no account 'nobody'." in done.stderr
