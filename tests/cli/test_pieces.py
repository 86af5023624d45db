"""The pieces of the command line, each by itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console
from typer.testing import CliRunner

from cli.api_client import ApiClient
from cli.credits import microcredits_from
from cli.deployment import find
from cli.errors import CommandFailed, Refused
from cli.generate import parameters
from cli.listing import age
from cli.main import app
from cli.models import catalogue, price_of
from cli.output import credits
from cli.receiver import Receiver
from cli.timeline import document, lines, print_timeline
from cli.waiting import longest_life_s
from domain.generation import (
    Asset,
    AttemptFailure,
    AttemptState,
    Decision,
    Deviation,
    FieldsAt,
    GenerationStatus,
    JobRef,
    Measure,
    MediaType,
    Skipped,
    SkipReason,
)
from domain.keys import PRESETS, Scope
from domain.model import PriceBook, Rates, Unit
from domain.signature import sign_webhook
from domain.webhook_events import SUBSCRIBABLE
from store.attempts import AttemptRecord
from store.generation_record import GenerationRecord
from store.ledger import AccountKind, Operation
from store.timeline import DeliveryAttemptLine, DeliveryLine, Timeline, TransferLine

COMMANDS = [
    (),
    *((name,) for name in ("up", "demo", "generate", "show", "list", "replay")),
    *((name,) for name in ("migrate", "worker", "api", "sandbox")),
    ("accounts",),
    *(("accounts", name) for name in ("create", "list", "show", "set", "freeze", "unfreeze", "close")),
    ("keys",),
    *(("keys", name) for name in ("create", "list", "rotate", "revoke", "delete")),
    ("credits",),
    *(("credits", name) for name in ("grant", "balance", "entries", "lots", "check", "refund")),
    *(("credits", name) for name in ("adjust", "adjustments", "approve", "reject")),
    ("statement",),
    *(("alerts", name) for name in ("show", "set")),
    *(("limits", name) for name in ("list", "set", "remove")),
    ("ledger",),
    ("ledger", "verify"),
    ("costs",),
    *(("costs", name) for name in ("show", "compare")),
    *(("stripe", name) for name in ("events", "retry", "link", "differences")),
    ("models",),
    ("models", "show"),
    ("plans",),
    ("check",),
    ("check", "providers"),
    ("providers",),
    *(("providers", name) for name in ("list", "pause", "resume")),
    ("operators",),
    *(("operators", name) for name in ("create", "list", "revoke")),
    ("audit",),
    ("webhooks",),
    *(("webhooks", name) for name in ("add", "list", "enable", "disable")),
]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words) or "babysea")
def test_every_command_explains_itself(words: tuple[str, ...]):
    done = CliRunner().invoke(app, [*words, "--help"])

    assert done.exit_code == 0
    assert "Usage" in done.output


def test_wrong_usage_is_exit_code_two():
    assert CliRunner().invoke(app, ["keys", "create"]).exit_code == 2
    assert CliRunner().invoke(app, ["fly"]).exit_code == 2
    assert CliRunner().invoke(app, ["accounts", "set", "x"]).exit_code == 2
    address = ["--account", "x", "--url", "https://x.example"]
    assert CliRunner().invoke(app, ["webhooks", "add", *address, "--event", "webhook.test"]).exit_code == 2


def test_the_help_names_what_can_be_asked_for():
    keys, webhooks = (
        " ".join(CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "200"}).output.split())
        for words in (("keys", "create"), ("webhooks", "add"))
    )

    assert all(scope in keys for scope in (*Scope, *PRESETS))
    assert "babysea plans" in keys
    assert all(event in webhooks for event in SUBSCRIBABLE)


def test_the_version_is_that_of_the_package():
    done = CliRunner().invoke(app, ["--version"])

    assert (done.exit_code, done.output.strip()) == (0, version("babysea-control-plane"))


# --- amounts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "micros"), [("25", 25_000_000), ("0.5", 500_000), ("0.000001", 1), ("12.345678", 12_345_678)]
)
def test_an_amount_is_read_exactly(text: str, micros: int):
    assert microcredits_from(text) == micros


@pytest.mark.parametrize("text", ["0", "0.0", "-1", "1e3", "1.0000001", "", "one", "+1", " 1", "1,5", "NaN", "٣"])
def test_what_is_no_amount_is_refused(text: str):
    with pytest.raises(CommandFailed):
        microcredits_from(text)


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "0.000"),
        (5_000, "0.005"),
        (25_000_000, "25.000"),
        (1, "0.000001"),
        (1_234_500, "1.2345"),
        (-5_000, "-0.005"),
    ],
)
def test_credits_are_shown_exactly(micros: int, text: str):
    assert credits(micros) == text


def test_parameters_keep_the_type_of_json():
    assert parameters(["a=5", "b=16:9", "c=true", 'd=["x"]', "e=a=b"]) == {
        "a": 5,
        "b": "16:9",
        "c": True,
        "d": ["x"],
        "e": "a=b",
    }


# --- settings -----------------------------------------------------------------------------------------------------


def without_settings(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    for name in [name for name in os.environ if name.startswith("BABYSEA_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(folder)  # where there is no .env file


@pytest.mark.parametrize("program", ["worker", "api"])
def test_a_program_without_its_settings_says_which_ones_in_a_line_each(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    without_settings(monkeypatch, tmp_path)
    monkeypatch.setenv("BABYSEA_SECRET_KEY", "short")
    monkeypatch.setenv("BABYSEA_API_PORT", "http")

    done = CliRunner().invoke(app, [program])

    lines = done.stderr.splitlines()
    assert done.exit_code == 1
    assert [line.split()[:2] for line in lines] == [
        ["error:", f"BABYSEA_{name}"] for name in ("SECRET_KEY", "DATABASE_URL", "API_PORT")
    ]
    assert "at least 32" in lines[0]
    assert "missing. PostgreSQL" in lines[1]
    assert "valid integer" in lines[2]


@pytest.mark.parametrize(
    ("options", "address"),
    [
        pytest.param([], ["0.0.0.0", "9001"], id="as the settings say"),
        pytest.param(["--host", "::1", "--port", "0"], ["::1", "0"], id="as the options say"),
    ],
)
def test_the_api_binds_where_it_is_told(
    options: list[str], address: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    without_settings(monkeypatch, tmp_path)
    (tmp_path / ".env").write_text(
        f"BABYSEA_SECRET_KEY={'s' * 40}\nBABYSEA_DATABASE_URL=postgresql://x\n"
        "BABYSEA_API_HOST=0.0.0.0\nBABYSEA_API_PORT=9001\n"
    )
    become: list[str] = []
    monkeypatch.setattr(os, "execv", lambda _, arguments: become.extend(arguments))

    CliRunner().invoke(app, ["api", *options], catch_exceptions=False)

    assert [become[become.index(name) + 1] for name in ("--host", "--port")] == address


def test_the_environment_names_the_system_before_anything_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BABYSEA_DATABASE_URL", "postgresql://elsewhere")
    monkeypatch.setenv("BABYSEA_SECRET_KEY", "s" * 40)

    found = find(tmp_path)

    assert found.settings.database_url.get_secret_value() == "postgresql://elsewhere"
    assert found.stack is None


# --- models and generations ---------------------------------------------------------------------------------------


def test_the_models_are_listed_without_a_running_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    without_settings(monkeypatch, tmp_path)

    listed = CliRunner().invoke(app, ["models"]).output.splitlines()
    as_json = json.loads(CliRunner().invoke(app, ["models", "--json"]).output)

    assert {entry["model_identifier"] for entry in as_json} <= {line.split()[0] for line in listed[1:]}
    flux = next(line for line in listed if line.startswith("bfl/flux-schnell "))
    assert "0.005 per generation" in flux


@pytest.mark.parametrize(
    ("rates", "price"),
    [
        pytest.param(Rates(flat_microcredits=5_000), "0.005 per second", id="one price"),
        pytest.param(Rates(tiers={"720p": 90_000, "360p": 45_000}), "0.045 to 0.090 per second", id="by tier"),
        pytest.param(Rates(tiers={"720p": 45_000, "360p": 45_000}), "0.045 per second", id="tiers that cost the same"),
    ],
)
def test_a_price_is_said_from_the_cheapest_tier_to_the_dearest(rates: Rates, price: str):
    model = next(iter(catalogue().models.values()))
    entry = replace(model.prices.at(), unit=Unit.SECOND, rates=rates)

    assert price_of(replace(model, prices=PriceBook((entry,)))) == price


@pytest.mark.parametrize(
    ("seconds", "said"), [(-1, "0 s"), (59.9, "59 s"), (60, "1 min"), (7_199, "1 h"), (172_800, "2 d")]
)
def test_an_age_is_said_in_the_largest_unit_that_it_fills(seconds: float, said: str):
    assert age(timedelta(seconds=seconds)) == said


def test_a_command_waits_for_as_long_as_every_candidate_may_take():
    assert longest_life_s(1_800, candidates=3) > 3 * 1_800


# --- the API client -----------------------------------------------------------------------------------------------


def error(status: int, *, retryable: bool) -> httpx.Response:
    return httpx.Response(status, json={"error": {"code": "BSE0", "message": "no", "retryable": retryable}})


ACCEPTED = httpx.Response(200, json={"data": {"generation_id": "g"}})


class Script:
    """An API that answers from a list, and remembers what it was asked."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self._answers = list(answers)
        self.keys: list[str | None] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.keys.append(request.headers.get("idempotency-key"))
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def client(self, *, patience_s: float = 5.0) -> ApiClient:
        transport = httpx.MockTransport(self)
        return ApiClient("http://api", "bye_x", patience_s=patience_s, pause_s=0.001, transport=transport)


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(httpx.ConnectError("refused"), id="nobody listens"),
        pytest.param(httpx.RemoteProtocolError("cut"), id="the answer was cut off"),
        pytest.param(error(503, retryable=True), id="503"),
        pytest.param(httpx.Response(502, text="<html>"), id="a page of a proxy"),
        pytest.param(error(409, retryable=True), id="the first request is still running"),
    ],
)
async def test_a_generation_is_asked_for_again_under_the_same_key(trouble: httpx.Response | Exception):
    script = Script(trouble, ACCEPTED)

    async with script.client() as api:
        assert await api.generate("image", "bfl/flux-schnell", {}, "key-1") == "g"

    assert script.keys == ["key-1", "key-1"]


async def test_a_refusal_is_not_asked_again():
    script = Script(error(402, retryable=False))

    async with script.client() as api:
        with pytest.raises(Refused, match="no"):
            await api.generate("image", "bfl/flux-schnell", {}, "key-1")


async def test_patience_has_an_end():
    script = Script(*[httpx.ConnectError("refused")] * 1000)

    async with script.client(patience_s=0.02) as api:
        with pytest.raises(CommandFailed, match="does not answer"):
            await api.content("g")


async def test_a_generation_that_does_not_end_in_time_is_said():
    script = Script(*[httpx.Response(200, json={"data": {"generation_status": "processing"}})] * 1000)

    async with script.client() as api:
        with pytest.raises(CommandFailed, match="babysea show g"):
            await api.ended("g", within_s=0.01)


async def test_a_missing_artifact_is_said():
    script = Script(httpx.Response(404))

    async with script.client() as api:
        with pytest.raises(CommandFailed, match="404"):
            await api.download("http://api/files/x")


async def test_an_answer_that_is_no_json_is_said():
    script = Script(httpx.Response(200, text="hello"))

    async with script.client() as api:
        with pytest.raises(CommandFailed, match="without JSON"):
            await api.content("g")


# --- the webhook receiver -----------------------------------------------------------------------------------------

SECRET = "whsec_" + "s" * 32
MESSAGE = {
    "webhook_event": "generation.completed",
    "webhook_delivery_id": "d-1",
    "webhook_data": {"generation_id": "g-1"},
}


async def test_a_signed_webhook_is_received_and_verified():
    body = json.dumps(MESSAGE).encode()
    async with Receiver(SECRET) as receiver, httpx.AsyncClient() as http:
        signature = sign_webhook(SECRET, body, int(time.time()))
        answer = await http.post(receiver.url, content=body, headers={"X-BabySea-Signature": signature})

        webhook = await receiver.verified("generation.completed", "g-1", within_s=5)

    assert answer.status_code == 204
    assert webhook is not None
    assert webhook.delivery_id == "d-1"


@pytest.mark.parametrize("secret", ["whsec_" + "t" * 32, None], ids=["forged", "unsigned"])
async def test_a_webhook_that_does_not_verify_is_refused_and_does_not_count(secret: str | None):
    body = json.dumps(MESSAGE).encode()
    headers = {"X-BabySea-Signature": sign_webhook(secret, body, int(time.time()))} if secret else {}
    async with Receiver(SECRET) as receiver, httpx.AsyncClient() as http:
        answer = await http.post(receiver.url, content=body, headers=headers)

        webhook = await receiver.verified("generation.completed", "g-1", within_s=0.01)

    assert answer.status_code == 401
    assert webhook is None
    assert [received.verified for received in receiver.received] == [False]


# --- the timeline -------------------------------------------------------------------------------------------------

BEGAN = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


@pytest.fixture
def a_failover() -> Timeline:
    """Replicate fails after a second, fal delivers after two more."""
    shared: dict[str, Any] = {"generation_id": "g-1", "account_id": "a-1", "submissions": 1, "adopted": False}
    failure = AttemptFailure("replicate", "BSE4001", "provider_error", "The job failed.", True, "provider")
    return Timeline(
        record=GenerationRecord(
            generation_id="g-1",
            account_id="a-1",
            status=GenerationStatus.SUCCEEDED,
            abandoned=False,
            region="us",
            model="bfl/flux-schnell",
            media_type=MediaType.IMAGE,
            params={"generation_prompt": "a secret garden"},
            output_count=1,
            output_format="png",
            provider_order=["replicate", "fal"],
            prediction_id="p",
            provider_used="fal",
            quote_microcredits=5_000,
            price_version="1",
            settled_microcredits=5_000,
            api_key_id=None,
            replay_of=None,
            created_at=BEGAN,
            started_at=after(0.1),
            completed_at=after(3),
            predict_time_s=None,
            assets=[Asset("us/a-1/g-1/x/0.png", "image/png", 1234, "ab" * 32, 1024, 768)],
            error_code=None,
            error_message=None,
            provider_errors=[failure],
            files_removed=False,
            deleted_at=None,
        ),
        attempts=[
            AttemptRecord(
                **shared,
                attempt_id="1",
                number=1,
                provider="replicate",
                native_model="flux",
                state=AttemptState.FAILED,
                estimate_microcredits=3_000,
                cost_microcredits=0,
                job=JobRef("job-1"),
                failure=failure,
                begun_at=after(0.05),
                accepted_at=after(0.1),
                ended_at=after(1),
            ),
            AttemptRecord(
                **shared,
                attempt_id="2",
                number=2,
                provider="fal",
                native_model="flux",
                state=AttemptState.USED,
                estimate_microcredits=3_000,
                cost_microcredits=3_000,
                job=JobRef("job-2"),
                failure=None,
                begun_at=after(1.1),
                accepted_at=after(1.2),
                ended_at=after(3),
            ),
        ],
        holds=[],
        transfers=[
            TransferLine(
                1, Operation.RESERVE, AccountKind.AVAILABLE, AccountKind.HELD, 5_000, BEGAN, None, 10_000, 5_000
            ),
            TransferLine(2, Operation.SETTLE, AccountKind.HELD, AccountKind.REVENUE, 5_000, after(3), None, None, None),
        ],
        deliveries=[
            DeliveryLine(
                "d-1",
                "e-1",
                "https://customer.example",
                "generation.completed",
                "delivered",
                after(3),
                after(3.2),
                None,
                [DeliveryAttemptLine(1, 500, None, "", after(3.1)), DeliveryAttemptLine(2, 204, None, "", after(3.2))],
            )
        ],
    )


def test_the_document_holds_latencies_costs_and_both_balances(a_failover: Timeline, tmp_path: Path):
    story = document(a_failover, artifacts=tmp_path)

    assert [attempt["latency_ms"] for attempt in story["attempts"]] == [950, 1900]
    assert [attempt["cost_microcredits"] for attempt in story["attempts"]] == [0, 3_000]
    assert story["credits"]["available_before_microcredits"] == 10_000
    assert story["credits"]["available_after_microcredits"] == 5_000
    assert story["artifacts"][0]["path"] == str(tmp_path / "us/a-1/g-1/x/0.png")
    assert "secret garden" not in json.dumps(story, default=str)


def test_the_timeline_tells_what_happened_in_order(a_failover: Timeline):
    told = [(line.what, line.detail.split()[0]) for line in lines(document(a_failover))]

    assert told == [
        ("credits", "reserve"),
        ("attempt 1", "submitting"),
        ("attempt 1", "accepted"),
        ("attempt 1", "failed"),
        ("attempt 2", "submitting"),
        ("attempt 2", "accepted"),
        ("credits", "settle"),
        ("attempt 2", "used"),
        ("artifact", "us/a-1/g-1/x/0.png"),
        ("webhook", "generation.completed"),
    ]


A_DECISION = Decision(
    defaulted=["generation_ratio"],
    candidates=[
        FieldsAt("replicate", "8d758cdcc918", {"generation_ratio": "aspect_ratio"}, {}, {}),
        FieldsAt("fal", "58cdcc9188d7", {}, {"generation_ratio": "image_size"}, {}),
        FieldsAt("bfl", "cc9188d758cd", {}, {}, {"generation_ratio": "the output follows the input"}),
    ],
    skipped=[
        Skipped("runway", SkipReason.CANNOT_SERVE, "generation_output_number", "4"),
        Skipped("openai", SkipReason.UNAVAILABLE),
    ],
)


def test_the_timeline_says_what_was_decided_and_what_deviates(a_failover: Timeline):
    deviating = replace(
        a_failover.record, deviations=[Deviation(Measure.COUNT, "2", "1"), Deviation(Measure.TYPE, "png", "jpg", 0)]
    )
    story = document(replace(a_failover, record=deviating, decision=A_DECISION))
    console = Console(record=True, width=200)

    print_timeline(console, story)

    said = " ".join(console.export_text().split())
    for words in (
        "skipped runway: it cannot honour generation_output_number 4",
        "skipped openai: there is no key for it here",
        "field replicate fal bfl",
        "generation_ratio (by default) aspect_ratio image_size (mapped) not sent: the output follows the input",
        "mapping 8d758cdcc918 58cdcc9188d7 cc9188d758cd",
        "deviates: count of the outputs: 1, not 2",
        "deviates: type of output 0: jpg, not png",
    ):
        assert words in said
    assert json.loads(json.dumps(story["decision"])) == story["decision"]


def test_the_timeline_is_readable(a_failover: Timeline):
    console = Console(record=True, width=200)

    print_timeline(console, document(a_failover), title="failover")

    said = console.export_text()
    for words in (
        "failover: bfl/flux-schnell succeeded by fal in 3.0 s",
        "failed after 950 ms, cost 0.000: The job failed. (BSE4001, provider_error)",
        "used after 1900 ms, cost 0.003",
        "image/png 1024x768 1234 bytes  sha256 abab",
        "generation.completed delivered, HTTP 204 at attempt 2",
        "credits 0.010 before, 0.005 after; charged 0.005",
    ):
        assert words in said


def test_help_and_mistakes_load_none_of_what_only_commands_need():
    code = "import sys, cli.main; print(*({'pydantic', 'httpx', 'psycopg', 'temporalio', 'yaml'} & sys.modules.keys()))"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert loaded.stdout.strip() == ""
