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
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
import uvicorn
from click.testing import Result
from psycopg import AsyncConnection
from typer.testing import CliRunner

from adapters.providers import fal
from api.app import create_app
from api.billing_samples import EVENT_RETRIED
from cli import local_operator
from cli.main import app
from domain.billing import EventNotice, Parked, Reason
from domain.errors import StateConflict
from domain.generation import AttemptState, attempt_id
from settings import Settings
from store import attempts, billing, generations
from tests.store import builders
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


def test_credits_that_expire_are_granted_and_listed(babysea: Babysea, an_account: str):
    grant = ("credits", "grant", "--account", an_account, "--amount", "5", "--key", f"promo:{an_account}")

    done = babysea(*grant, "--expires-at", "2999-12-31T00:00:00Z")
    both = babysea(*grant, "--expires-at", "2999-12-31T00:00:00Z", "--expires-in-days", "3")
    days = babysea("credits", "grant", "--account", an_account, "--amount", "1", "--expires-in-days", "3")
    newest, oldest = (
        line.split() for line in babysea("credits", "lots", "--account", an_account).stdout.splitlines()[1:]
    )

    assert (done.exit_code, days.exit_code) == (0, 0)
    assert "Give either --expires-at or --expires-in-days." in both.stderr
    assert oldest == ["2999-12-31T00:00:00.000Z", "open", "5.000", "5.000", *["0.000"] * 3, f"promo:{an_account}"]
    assert newest[1:4] == ["open", "1.000", "1.000"]


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


def test_a7_a_runway_is_set_shown_and_let_go_beside_the_thresholds(babysea: Babysea, an_account: str):
    done = babysea("alerts", "set", "--account", an_account, "--threshold", "5", "--runway-hours", "24")
    off = babysea("alerts", "set", "--account", an_account, "--runway-hours", "24", "--off")
    without = babysea("alerts", "set", "--account", an_account)

    assert [line.split() for line in done.stdout.splitlines()][1:] == [["24", "h", "armed"]]
    assert off.stdout.split() == ["24", "h", "off"]
    assert (without.exit_code, without.stdout) == (0, "")


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


@pytest.fixture(scope="module")
async def jobs(database_url: str) -> list[str]:
    """Two jobs of fal that cost three tenths of a cent each; the second one failed all the same."""
    made = []
    async with await AsyncConnection.connect(database_url, autocommit=True) as conn:
        account_id = await builders.an_account(conn, credits=1)
        for ended in ("used", "failed"):
            request, job = await builders.an_admitted(conn, account_id), builders.a_job()
            await attempts.begin(conn, replace(builders.an_intent(request), provider="fal", cost_microcredits=3_000))
            attempt = attempt_id(request.generation_id, 1)
            await attempts.accepted(conn, attempt, job)
            if ended == "failed":
                state, why = AttemptState.FAILED, builders.a_failure("fal")
                await attempts.close(conn, attempt, state, failure=why, cost_microcredits=3_000)
                await generations.finish(conn, builders.failure(request))
            else:
                await generations.finish(conn, builders.success(request, provider_used="fal"))
            made.append(job.job_id)
    return made


def test_r4_a_statement_of_a_provider_is_held_against_what_was_recorded(
    babysea: Babysea, jobs: list[str], tmp_path: Path
):
    """What failed work cost us counts as recorded (E17); what agrees exits with 0, what differs with 1 (R4)."""
    used, failed = jobs
    file = tmp_path / "fal.csv"

    def compared(*lines: str, words: tuple[str, ...] = ()) -> Result:
        file.write_text("\n".join(lines))
        of = ("--provider", "fal", "--period", f"{datetime.now(UTC):%Y}", "--statement", str(file))
        return babysea("costs", "compare", *of, *words)

    same = compared("request_id,amount", f"{used},0.003", f"{failed},0.0030")
    differs = compared("request_id,amount", f"{used},0.0031", "elsewhere,1.5", words=("--json",))
    in_cents = ("--column", "id=job", "--column", "amount=cents", "--unit", "0.01", "--tolerance", "100", "--csv")
    within = compared("job,cents", f"{used},0.31", f"{failed},0.3", words=in_cents)
    in_all = compared("id,cost", f"{used},0.0031", f"{failed},0.0031", words=("--tolerance", "100"))
    broken = compared("id,cost", f"{used},0.0031", f"{failed},3e-3")

    assert (same.exit_code, same.stdout.count("\n")) == (0, 1)
    assert "agree. Jobs: 2 alike, 0 differs, 0 unknown here, 0 not billed." in same.stdout
    found = json.loads(differs.stdout)
    assert (differs.exit_code, found["agree"]) == (1, False)
    assert found["jobs"] == {"alike": 0, "differs": 1, "unknown_here": 1, "not_billed": 1}
    assert (found["billed"], found["recorded"], found["difference"]) == ("1.5031", "0.006", "1.4971")
    assert [(row["verdict"], row["job_id"], row["billed"], row["recorded"]) for row in found["rows"]] == [
        ("differs", used, "0.0031", "0.003"),
        ("unknown_here", "elsewhere", "1.5", "0"),
        ("not_billed", failed, "0", "0.003"),
    ]
    assert within.exit_code == 0
    assert [row.split(",")[:5] for row in within.stdout.splitlines()[1:]] == [
        ["alike", used, "0.0031", "0.003", "0.0001"],
        ["alike", failed, "0.003", "0.003", "0"],
    ]
    assert in_all.exit_code == 1  # each job within a hundred, and both together not
    assert broken.exit_code == 1
    assert (
        broken.stderr
        == f"error: {file}: Line 3, column cost: 3e-3 is no amount; give a plain decimal, such as 0.0525.\n"
    )


def test_what_cannot_be_compared_is_said_before_anything_is_asked(babysea: Babysea, tmp_path: Path):
    file = tmp_path / "fal.csv"
    file.write_bytes(b"id,cost\n\xff,1\n")
    of = ("--period", "2026-10", "--statement", str(file))

    assert "is not UTF-8" in babysea("costs", "compare", "--provider", "fal", *of).stderr
    assert "names no column" in babysea("costs", "compare", "--provider", "fal", *of, "--column", "price=x").stderr
    file.write_text("id,cost\n")
    assert "There is no such provider." in babysea("costs", "compare", "--provider", "nobody", *of).stderr
    assert babysea("costs", "compare", "--provider", "fal", *of).exit_code == 0


def test_margins_are_shown_by_provider_and_model_with_their_sum(babysea: Babysea, jobs: list[str]):
    shown = babysea("costs", "show", "--period", f"{datetime.now(UTC):%Y}")

    lines = [line.split() for line in shown.stdout.splitlines()]
    assert [line[-3:] for line in lines] == [["revenue", "cost", "margin"], *[["0.005", "0.006", "-0.001"]] * 2]
    assert (lines[1][0], lines[2][0], len(jobs)) == ("fal", "all", 2)


@pytest.fixture(scope="module")
async def parked(database_url: str) -> str:
    """An event whose customer nobody has linked."""
    async with await AsyncConnection.connect(database_url, autocommit=True) as conn:
        await billing.receive(conn, EventNotice("evt_1", "invoice.paid", 1_780_000_000, False, None, "invoice", "in_1"))
        await billing.receive(conn, EventNotice("evt_2", "invoice.paid", 1_780_000_000, False, None, "invoice", "in_2"))
        await billing.park(conn, "evt_1", Parked(Reason.CUSTOMER_UNKNOWN, "No account is linked to cus_1."))
    return "evt_1"


def test_events_of_stripe_are_listed_with_what_became_of_them(babysea: Babysea, parked: str):
    listed = [line.split() for line in babysea("stripe", "events").stdout.splitlines()]
    only = json.loads(babysea("stripe", "events", "--state", "parked", "--json").stdout)

    assert listed[0] == ["id", "at", "type", "about", "state", "why", "tries"]
    assert {line[0]: line[-1] for line in listed[1:]} == {parked: "1", "evt_2": "0"}
    assert [(one["event_id"], one["explanation"]) for one in only] == [(parked, "No account is linked to cus_1.")]
    assert "(BSE2001)" in babysea("stripe", "events", "--state", "lost").stderr


def test_a_customer_of_stripe_is_linked_once(babysea: Babysea, an_account: str):
    customer = f"cus_{uuid.uuid4().hex}"

    linked = babysea("stripe", "link", "--account", an_account, "--customer", customer)
    other = babysea("stripe", "link", "--account", an_account, "--customer", "cus_other")

    assert linked.stdout == f"{customer} pays for {an_account}.\n"
    assert other.stderr == "error: The account has another customer. (BSE3007)\n"
    assert (
        "must be the id of a customer" in babysea("stripe", "link", "--account", an_account, "--customer", "x").stderr
    )


async def test_differences_of_the_books_are_an_exit_code(babysea: Babysea, database_url: str):
    agree = babysea("stripe", "differences")
    async with await AsyncConnection.connect(database_url, autocommit=True) as conn:
        await billing.differ(conn, "ch_1", "missing_here", "A charge that no grant is for.")
    differ = babysea("stripe", "differences")

    assert (agree.exit_code, agree.stdout) == (0, "The books agree.\n")
    assert differ.exit_code == 1
    assert differ.stdout.splitlines()[1].split("  ")[:3] == ["ch_1", "missing_here", "A charge that no grant is for."]


def test_a_retry_that_is_refused_says_why(babysea: Babysea, parked: str):
    refused = babysea("stripe", "retry", parked)

    assert refused.exit_code == 1
    assert refused.stderr.startswith("error: This deployment takes no payments.")


class _Retries(BaseHTTPRequestHandler):
    """The one answer that needs Stripe, as the reference shows it."""

    asked: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        self.asked.append(self.path)
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(EVENT_RETRIED).encode())

    def log_message(self, *_: object) -> None:
        """Nothing: this is a test."""


def test_a_parked_event_is_tried_again(babysea: Babysea):
    with HTTPServer(("127.0.0.1", 0), _Retries) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = {"BABYSEA_API_URL": f"http://127.0.0.1:{server.server_port}"}
        said = babysea("stripe", "retry", "evt_9", **url)
        document = json.loads(babysea("stripe", "retry", "evt_9", "--json", **url).stdout)
        server.shutdown()

    event = EVENT_RETRIED["data"]
    assert said.stdout == f"{event['event_id']} is tried again; `babysea stripe events` tells what became of it.\n"
    assert document == event
    assert _Retries.asked == ["/admin/v1/stripe/events/evt_9/retry"] * 2


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
