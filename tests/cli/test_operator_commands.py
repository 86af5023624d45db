"""The commands over the operator API, in this process, against an API with a database and nothing else."""

from __future__ import annotations

import asyncio
import json
import stat
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvicorn
from click.testing import Result
from psycopg import AsyncConnection
from typer.testing import CliRunner

from adapters.providers import fal
from api.app import create_app
from cli import local_operator
from cli.main import app
from domain.errors import StateConflict
from settings import Settings
from tests.support.postgres import fresh_database

ROOT = "a root secret of the tests, long enough"
Babysea = Callable[..., Result]


@asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[str]:
    """The address of an API that runs beside the tests."""
    server = uvicorn.Server(uvicorn.Config(create_app(settings), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started:
        assert thread.is_alive()
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await asyncio.to_thread(thread.join)


@pytest.fixture(scope="module")
async def database_url() -> str:
    return await fresh_database()


@pytest.fixture(scope="module")
async def environment(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, str]]:
    """Where the API is, and an operator's key."""
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]
        secret_key=ROOT,
        database_url=database_url,
        storage_path=tmp_path_factory.mktemp("artifacts"),
        providers={"fal": fal.Settings(_env_file=None, key="key-id:key-secret")},  # type: ignore[call-arg]
    )
    async with await AsyncConnection.connect(database_url) as conn:
        _, key = await local_operator.create(conn, ROOT, "tester")
    async with served(settings) as url:
        yield {"BABYSEA_API_URL": url, "BABYSEA_OPERATOR_KEY": key, "COLUMNS": "200"}


@pytest.fixture
def babysea(environment: dict[str, str]) -> Babysea:
    return lambda *words, **others: CliRunner().invoke(app, words, env=environment | others)


@pytest.fixture
def an_account(babysea: Babysea) -> str:
    name = f"studio-{uuid.uuid4().hex[:8]}"
    assert babysea("accounts", "create", name, "--plan", "pro", "--team").exit_code == 0
    return name


def test_an_account_is_shown_changed_frozen_and_closed(babysea: Babysea, an_account: str):
    assert babysea("accounts", "set", an_account, "--plan", "scale", "--email", "ops@example.com").exit_code == 0
    shown = babysea("accounts", "show", an_account).stdout
    removed = json.loads(babysea("accounts", "set", an_account, "--email", "", "--json").stdout)
    states = [babysea("accounts", verb, an_account).stdout for verb in ("freeze", "unfreeze")]

    asked = babysea("accounts", "close", an_account)
    closed = json.loads(babysea("accounts", "close", an_account, "--yes", "--json").stdout)

    assert [line.split()[1] for line in shown.splitlines()[1:5]] == [an_account, "scale", "open", "ops@example.com"]
    assert (removed["email"], removed["is_personal"]) == (None, False)
    assert ["frozen" in states[0], "open" in states[1]] == [True, True]
    assert asked.exit_code == 1
    assert closed["closed_at"] is not None
    assert f"{an_account}  scale" in " ".join(babysea("accounts", "list").stdout.split("\n"))
    assert babysea("accounts", "freeze", an_account).stderr == "error: The account is closed. (BSE3007)\n"


def test_an_account_decides_what_becomes_of_refused_content(babysea: Babysea, an_account: str):
    on = json.loads(babysea("accounts", "set", an_account, "--moderation-failover", "--json").stdout)
    shown = babysea("accounts", "show", an_account).stdout
    off = json.loads(babysea("accounts", "set", an_account, "--no-moderation-failover", "--json").stdout)

    assert (on["moderation_failover"], off["moderation_failover"]) == (True, False)
    assert "shown to one more provider" in shown


def test_a_key_is_rotated_and_deleted(babysea: Babysea, an_account: str):
    first = json.loads(babysea("keys", "create", "--account", an_account, "--allow-ip", "10.0.0.0/8", "--json").stdout)

    second = json.loads(babysea("keys", "rotate", first["api_key_id"], "--grace-hours", "2", "--json").stdout)
    listed = babysea("keys", "list", "--account", an_account).stdout
    again = babysea("keys", "rotate", first["api_key_id"])
    deleted = babysea("keys", "delete", first["api_key_id"])

    assert second["ip_allowlist"] == first["ip_allowlist"] == ["10.0.0.0/8"]
    assert {line.split()[0]: line.split()[-1] for line in listed.splitlines()[1:]} == {
        first["api_key_id"]: "rotated",
        second["api_key_id"]: "active",
    }
    assert "only an active one is rotated" in again.stderr
    assert deleted.stdout == "Deleted.\n"


def test_a_key_that_cannot_be_made_makes_no_account(babysea: Babysea):
    refused = babysea("keys", "create", "--account", "never", "--scope", "everything")

    assert (refused.exit_code, "is neither a scope nor a preset" in refused.stderr) == (1, True)
    assert "no account" in babysea("accounts", "show", "never").stderr


def test_grants_are_listed_exactly(babysea: Babysea, an_account: str):
    for amount in ("0.000001", "25"):
        assert babysea("credits", "grant", "--account", an_account, "--amount", amount).exit_code == 0

    listed = [line.split() for line in babysea("credits", "entries", "--account", an_account).stdout.splitlines()]
    balance = json.loads(babysea("credits", "balance", "--account", an_account, "--json").stdout)

    assert [line[1:4] for line in listed[1:]] == [["grant", "25.000", "25.000001"], ["grant", "0.000001", "0.000001"]]
    assert balance == {"available": 25_000_001, "held": 0, "debt": 0}


def test_thresholds_are_set_and_shown(babysea: Babysea, an_account: str):
    babysea("credits", "grant", "--account", an_account, "--amount", "3")

    done = babysea("alerts", "set", "--account", an_account, "--threshold", "5", "--threshold", "0.5")
    off = babysea("alerts", "set", "--account", an_account, "--threshold", "5", "--off")

    assert [line.split(maxsplit=1) for line in done.stdout.splitlines()] == [
        ["5.000", "told, or not reached yet"],
        ["0.500", "armed"],
    ]
    assert off.stdout == babysea("alerts", "show", "--account", an_account).stdout
    assert off.stdout.split() == ["5.000", "off"]


def test_spending_is_limited_and_let_go(babysea: Babysea, an_account: str):
    key = json.loads(babysea("keys", "create", "--account", an_account, "--json").stdout)["api_key_id"]
    account = ("--account", an_account)

    whole = babysea("limits", "set", *account, "--per", "month", "--amount", "100", "--json")
    of_key = babysea("limits", "set", *account, "--per", "day", "--amount", "0", "--key", key, "--soft")
    listed = [line.split() for line in babysea("limits", "list", *account).stdout.splitlines()[1:]]
    removed = babysea("limits", "remove", json.loads(whole.stdout)["limit_id"], *account)

    assert of_key.exit_code == 0
    assert [line[-6:-1] for line in listed] == [
        ["account", "month", "hard", "100.000", "0.000"],
        [key, "day", "soft", "0.000", "0.000"],
    ]
    assert removed.stdout == "Removed.\n"
    assert len(babysea("limits", "list", *account).stdout.splitlines()) == 2
    assert (
        "no key nonsense"
        in babysea("limits", "set", *account, "--per", "day", "--amount", "1", "--key", "nonsense").stderr
    )


def test_an_adjustment_is_proposed_and_approved_by_another(babysea: Babysea, an_account: str, database_url: str):
    system = {"BABYSEA_DATABASE_URL": database_url, "BABYSEA_SECRET_KEY": ROOT}
    proposed = babysea("credits", "adjust", "--account", an_account, "--amount", "2.5", "--reason", "goodwill")
    adjustment_id = proposed.stdout.strip()
    kim = json.loads(babysea("operators", "create", f"kim {an_account}", "--json", **system).stdout)["key"]

    own = babysea("credits", "approve", adjustment_id)
    other = babysea("credits", "approve", adjustment_id, BABYSEA_OPERATOR_KEY=kim)
    late = babysea("credits", "reject", adjustment_id)
    listed = babysea("credits", "adjustments", "--account", an_account).stdout.splitlines()

    assert f"babysea credits approve {adjustment_id}" in proposed.stderr
    assert "by another operator" in own.stderr
    assert other.stdout == "approved: 2.500 credits\n"
    assert "The adjustment is approved." in late.stderr
    assert listed[1].split()[:4] == [adjustment_id, "approved", "2.500", "tester"]


def test_a_refund_names_a_generation_that_was_paid_for(babysea: Babysea, an_account: str):
    refund = ("--account", an_account, "--reason", "unusable")

    assert "There is no generation nonsense." in babysea("credits", "refund", "nonsense", *refund).stderr
    assert "BSE3006" in babysea("credits", "refund", str(uuid.uuid4()), *refund).stderr


def test_a_statement_is_a_table_a_document_or_a_file(babysea: Babysea, an_account: str):
    for amount in ("1", "2.5"):
        babysea("credits", "grant", "--account", an_account, "--amount", amount, "--key", f"{an_account}/{amount}")
    of = (an_account, "--from", "2026-01-01T00:00:00Z", "--to", "2100-01-01T00:00:00Z")

    table = babysea("statement", *of).stdout.splitlines()
    document = json.loads(babysea("statement", *of, "--json").stdout)
    file = babysea("statement", *of, "--csv").stdout.splitlines()

    assert (table[0].split()[1], table[-1].split()[1], len(table)) == ("0", "3.5", 5)
    assert [entry["amount"] for entry in document["entries"]] == ["1", "2.5"]
    assert [line.split(",")[3:5] for line in file[1:]] == [["", "0"], ["1", "1"], ["2.5", "3.5"], ["", "3.5"]]
    assert "is no period" in babysea("statement", an_account, "--period", "soon").stderr
    assert "is no period" in babysea("statement", an_account, "--period", "soon", "--csv").stderr


def test_a_provider_is_paused_and_resumed_and_the_log_tells(babysea: Babysea):
    paused = babysea("providers", "pause", "fal", "--reason", "incident")
    listed = babysea("providers", "list").stdout
    twice = babysea("providers", "pause", "fal")
    resumed = babysea("providers", "resume", "fal")
    told = babysea("audit", "--actor", "tester", "--limit", "2").stdout.splitlines()

    assert (paused.stdout, resumed.stdout) == ("Paused.\n", "Resumed.\n")
    assert "paused" in listed
    assert "unconfigured" in listed
    assert twice.stderr == "error: The provider is paused already. (BSE3007)\n"
    assert [line.split()[1:3] for line in told[1:]] == [["tester", "provider.resume"], ["tester", "provider.pause"]]


def test_the_log_is_read_for_one_account(babysea: Babysea, an_account: str):
    told = json.loads(babysea("audit", "--account", an_account, "--json").stdout)

    assert [(one["action"], one["details"]["name"]) for one in told] == [("account.create", an_account)]


def test_the_plans_are_listed(babysea: Babysea):
    lines = [line.split() for line in babysea("plans").stdout.splitlines()]

    assert lines[1] == ["free", "60", "2", "1", "1", "h", "1", "d"]


def test_an_operator_is_made_on_the_database_and_revoked_over_the_api(babysea: Babysea, database_url: str):
    name = f"alex {uuid.uuid4().hex[:8]}"
    system = {"BABYSEA_DATABASE_URL": database_url, "BABYSEA_SECRET_KEY": ROOT}
    made = json.loads(babysea("operators", "create", name, "--json", **system).stdout)
    as_alex = {"BABYSEA_OPERATOR_KEY": made["key"]}

    assert babysea("plans", **as_alex).exit_code == 0
    assert made["key"] not in babysea("operators", "list").stdout
    assert babysea("operators", "revoke", made["operator_id"]).stdout == "Revoked.\n"

    refused = babysea("plans", **as_alex)
    assert (refused.exit_code, refused.stderr) == (
        1,
        "error: The operator key is invalid or revoked. (BSE1002)\n",
    )
    assert "already" in babysea("operators", "create", "tester", **system).stderr


@pytest.mark.parametrize(
    ("environment_says", "told"),
    [
        pytest.param(
            {"BABYSEA_API_URL": "http://127.0.0.1:9", "BABYSEA_OPERATOR_KEY": "byo_x"},
            "The API at http://127.0.0.1:9 does not answer (ConnectError).",
            id="nobody listens",
        ),
        pytest.param(
            {"BABYSEA_API_URL": "http://127.0.0.1:9", "BABYSEA_OPERATOR_KEY": ""},
            "Set BABYSEA_OPERATOR_KEY; `babysea operators create NAME` makes an operator with a key.",
            id="no key",
        ),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(environment_says: dict[str, str], told: str):
    done = CliRunner().invoke(app, ["plans"], env=environment_says)

    assert (done.exit_code, done.stderr) == (1, f"error: {told}\n")


def test_without_a_system_it_is_said_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for name in ("BABYSEA_API_URL", "BABYSEA_DATABASE_URL", "BABYSEA_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)

    done = CliRunner().invoke(app, ["plans", "--data", str(tmp_path)])

    assert done.exit_code == 1
    assert done.stderr.startswith(f"error: No embedded stack runs on {tmp_path}. Start one with `make run`")


async def test_a_stack_has_one_local_operator_whose_key_its_owner_alone_reads(database_url: str, tmp_path: Path):
    file = tmp_path / "operator_key"

    await local_operator.prepare(database_url, ROOT, tmp_path)
    first = file.read_text()
    await local_operator.prepare(database_url, ROOT, tmp_path)
    assert file.read_text() == first
    file.unlink()  # lost
    await local_operator.prepare(database_url, ROOT, tmp_path)

    assert file.read_text() != first
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    async with await AsyncConnection.connect(database_url) as conn:
        with pytest.raises(StateConflict):
            await local_operator.create(conn, ROOT, "local")
