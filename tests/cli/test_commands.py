"""The commands against a running stack."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import httpx
import pytest
from click.testing import Result
from typer.testing import CliRunner

from catalog.plans import load_plans
from cli.main import app
from cli.receiver import Receiver
from domain.webhook_events import SUBSCRIBED_BY_DEFAULT
from tests.cli.running import babysea
from tests.support.stack import StackProcess

Command = Callable[..., CompletedProcess[str]]
FAILS_EVERYWHERE = "[sandbox:replicate=job_failed;fal=job_failed]"
FAILS_ONCE_EVERYWHERE = "[sandbox:replicate=job_failedx1;fal=job_failedx1]"


@pytest.fixture
def an_account() -> str:
    return f"account-{uuid.uuid4().hex[:8]}"


def generated(command: Command, prompt: str, *arguments: str) -> dict[str, object]:
    done = command("generate", "bfl/flux-schnell", f"{prompt} {uuid.uuid4().hex}", "--json", *arguments)
    record: dict[str, object] = json.loads(done.stdout)
    return record


def test_a_key_that_was_made_works(stack: StackProcess, command: Command, an_account: str):
    made = json.loads(command("keys", "create", "--account", an_account, "--preset", "full_access", "--json").stdout)

    answer = httpx.get(f"{stack.found.config.api_url}/v1/status", headers={"authorization": f"Bearer {made['key']}"})

    assert answer.status_code == 200
    assert answer.json()["data"]["apikey_id"] == made["api_key_id"]


def test_a_key_that_was_revoked_does_not_work(stack: StackProcess, command: Command, an_account: str):
    made = json.loads(command("keys", "create", "--account", an_account, "--json").stdout)

    assert command("keys", "revoke", made["api_key_id"]).returncode == 0

    answer = httpx.get(f"{stack.found.config.api_url}/v1/status", headers={"authorization": f"Bearer {made['key']}"})
    assert answer.status_code == 401
    assert "revoked" in command("keys", "list", "--account", an_account).stdout
    assert command("keys", "revoke", made["api_key_id"]).returncode == 1


def test_a_list_of_keys_shows_whole_ids_and_no_key(command: Command, an_account: str):
    made = json.loads(command("keys", "create", "--account", an_account, "--json").stdout)

    listed = command("keys", "list", "--account", an_account).stdout
    as_json = json.loads(command("keys", "list", "--account", an_account, "--json").stdout)

    assert made["api_key_id"] in listed
    assert made["key"] not in listed
    assert [row["api_key_id"] for row in as_json] == [made["api_key_id"]]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(("keys", "create", "--account", "x", "--preset", "nope"), "full_access", id="unknown preset"),
        pytest.param(("keys", "list", "--account", "nobody"), "no account", id="unknown account"),
        pytest.param(("credits", "grant", "--account", "nobody", "--amount", "1"), "no account", id="grant to nobody"),
        pytest.param(("credits", "grant", "--account", "demo", "--amount", "0.0000001"), "six decimals", id="amount"),
        pytest.param(("keys", "create", "--account", "demo", "--plan", "free"), "plan 'pro'", id="plan of another"),
        pytest.param(("keys", "create", "--account", "x", "--plan", "gold"), "no such plan", id="unknown plan"),
        pytest.param(("keys", "revoke", "nonsense"), "no key", id="not the id of a key"),
        pytest.param(("list", "--account", "nobody"), "no account", id="generations of nobody"),
        pytest.param(
            ("webhooks", "add", "--account", "demo", "--url", "ftp://x.example"), "https", id="address refused"
        ),
        pytest.param(
            ("webhooks", "enable", "--account", "demo", str(uuid.uuid4())), "no such webhook", id="no endpoint"
        ),
        pytest.param(("webhooks", "disable", "--account", "demo", "nonsense"), "no webhook", id="not an endpoint"),
        pytest.param(("show", str(uuid.uuid4())), "BSE3001", id="unknown generation"),
        pytest.param(("show", "nonsense"), "UUID", id="not an id"),
        pytest.param(("replay", str(uuid.uuid4())), "BSE3001", id="replay of nothing"),
        pytest.param(("generate", "no/model", "x"), "no model", id="unknown model"),
        pytest.param(("generate", "bfl/flux-schnell", "x", "-p", "nonsense"), "NAME=VALUE", id="malformed parameter"),
        pytest.param(("generate", "bfl/flux-schnell", "x", "--key", "bye_wrong"), "BSE1002", id="wrong key"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_one(command: Command, arguments: tuple[str, ...], says: str):
    done = command(*arguments)

    assert done.returncode == 1
    assert says in done.stderr
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def test_a_grant_with_a_key_is_made_once(command: Command, an_account: str):
    command("keys", "create", "--account", an_account)
    key = f"invoice-{uuid.uuid4()}"

    first, again = (
        command("credits", "grant", "--account", an_account, "--amount", "1.5", "--key", key) for _ in range(2)
    )
    other = command("credits", "grant", "--account", an_account, "--amount", "2", "--key", key)

    assert first.stdout.startswith("granted: 1.500")
    assert again.stdout.startswith("already_granted: 1.500")
    assert other.returncode == 1
    assert json.loads(command("credits", "balance", "--account", an_account, "--json").stdout)["available"] == 1_500_000


def test_an_account_is_made_on_the_plan_that_is_asked_for(stack: StackProcess, command: Command, an_account: str):
    made = json.loads(command("keys", "create", "--account", an_account, "--plan", "scale", "--json").stdout)

    answer = httpx.get(f"{stack.found.config.api_url}/v1/status", headers={"authorization": f"Bearer {made['key']}"})

    assert made["plan"] == "scale"
    assert answer.headers["x-ratelimit-limit"] == str(load_plans().of("scale").requests_per_minute)


async def test_an_endpoint_that_was_added_is_told_what_it_asked_for(command: Command, an_account: str):
    made = json.loads(command("keys", "create", "--account", an_account, "--json").stdout)
    command("credits", "grant", "--account", an_account, "--amount", "1")
    async with Receiver("unknown") as receiver:
        added = command(
            *("webhooks", "add", "--account", an_account, "--url", receiver.url, "--json"),
            *("--event", "generation.completed", "--event", "generation.completed"),
        )
        endpoint = json.loads(added.stdout)
        receiver.secret = endpoint["secret"]
        record = await asyncio.to_thread(generated, command, "a pier", "--key", made["key"])

        webhook = await receiver.verified("generation.completed", str(record["generation_id"]), within_s=30)

    assert webhook is not None
    assert endpoint["events"] == ["generation.completed"]
    assert re.fullmatch(r"whsec_[A-Za-z0-9_-]{32}", endpoint["secret"])


def test_endpoints_are_listed_without_their_secrets_and_switched_off_and_on(command: Command, an_account: str):
    command("keys", "create", "--account", an_account)
    secret = command("webhooks", "add", "--account", an_account, "--url", "https://customer.example/x").stdout.strip()
    listing = ("webhooks", "list", "--account", an_account)
    [endpoint] = json.loads(command(*listing, "--json").stdout)
    assert endpoint["events"] == list(SUBSCRIBED_BY_DEFAULT)

    assert command("webhooks", "disable", "--account", an_account, endpoint["endpoint_id"]).stdout == "Disabled.\n"
    off = command(*listing).stdout
    assert command("webhooks", "enable", "--account", an_account, endpoint["endpoint_id"]).stdout == "Enabled.\n"
    on = command(*listing).stdout

    assert secret.startswith("whsec_")
    assert secret not in off + on
    assert [text.splitlines()[1].split()[:2] for text in (off, on)] == [
        [endpoint["endpoint_id"], "disabled"],
        [endpoint["endpoint_id"], "enabled"],
    ]


async def test_an_endpoint_is_tested_drained_replayed_and_removed(stack: StackProcess, an_account: str):
    """Contract 12.6, from the command line; in this process, which is quicker."""

    async def run(*words: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, app, [*words, "--data", str(stack.data)])

    async def webhooks(verb: str, *words: str) -> Result:
        return await run("webhooks", verb, "--account", an_account, *words)

    made = json.loads((await run("keys", "create", "--account", an_account, "--json")).stdout)
    await run("credits", "grant", "--account", an_account, "--amount", "1")
    async with Receiver("unknown") as receiver:
        to = ("--url", receiver.url, "--event", "generation.completed")
        added = json.loads((await webhooks("add", *to, "--json")).stdout)
        endpoint = added["endpoint_id"]
        refused = await webhooks("test", endpoint)
        receiver.secret = added["secret"]
        tested = await webhooks("test", endpoint)
        await webhooks("disable", endpoint)
        generated = await run("generate", "bfl/flux-schnell", "a pier", "--json", "--key", made["key"])
        generation_id = json.loads(generated.stdout)["generation_id"]
        queued = json.loads((await webhooks("show", endpoint, "--json")).stdout)
        await webhooks("enable", endpoint)
        draining = await webhooks("drain", endpoint)
        drained = await receiver.verified("generation.completed", generation_id, within_s=30)
        assert drained is not None
        receiver.secret = (await webhooks("rotate-secret", endpoint)).stdout.strip()
        replayed = json.loads((await webhooks("replay", endpoint, drained.delivery_id, "--json")).stdout)
        removed = await webhooks("remove", endpoint, "--yes")
        log = json.loads((await webhooks("deliveries", endpoint, "--json")).stdout)

    assert (refused.exit_code, "HTTP 401" in refused.stderr) == (1, True)
    assert (tested.exit_code, tested.stdout) == (0, "Delivered: HTTP 204.\n")
    assert queued["queued"] == 1
    assert draining.stdout.startswith("Sending 1.")
    assert (replayed["state"], replayed["replay_of"]) == ("delivered", drained.delivery_id)
    assert removed.stdout == "Removed.\n"
    assert [(one["purpose"], one["state"]) for one in log] == [
        ("replay", "delivered"),
        ("drain", "delivered"),
        ("event", "delivered"),
        ("test", "delivered"),
        ("test", "failed"),
    ]


def test_the_books_are_in_order(command: Command):
    done = command("credits", "check", "--json")

    assert done.returncode == 0
    assert json.loads(done.stdout) == {"balanced": True, "violations": []}


def test_a_generation_is_made_and_shown(command: Command, stack: StackProcess):
    record = generated(command, "a harbour at dawn")

    told = command("show", str(record["generation_id"])).stdout
    story = json.loads(command("show", str(record["generation_id"]), "--json").stdout)

    assert record["generation_status"] == story["generation"]["status"] == "succeeded"
    for words in ("reserve 0.005", "settle 0.005", "accepted as job", "sha256", "before"):
        assert words in told
    assert (stack.data.parent / story["artifacts"][0]["path"]).exists()
    assert "harbour" not in json.dumps(story), "prompts are not part of the record that is shown"


def test_the_newest_generations_are_listed(command: Command):
    first, second = (str(generated(command, "a gull")["generation_id"]) for _ in range(2))

    listed = [line.split() for line in command("list", "--account", "demo", "--limit", "2").stdout.splitlines()]
    as_json = json.loads(command("list", "--account", "demo", "--limit", "1", "--json").stdout)

    assert [line[0] for line in listed] == ["id", second, first]
    assert listed[1][1:3] == ["succeeded", "bfl/flux-schnell"]
    assert [record["generation_id"] for record in as_json] == [second]
    assert as_json[0]["provider_used"] == listed[1][3]


def test_a_generation_without_waiting_answers_at_once(command: Command):
    assert generated(command, "a slow one [sandbox:replicate=latency_3]", "--no-wait")["generation_status"] in {
        "pending",
        "processing",
    }


def test_the_same_idempotency_key_is_the_same_generation(command: Command):
    key = f"k-{uuid.uuid4()}"
    arguments = ("generate", "bfl/flux-schnell", "a pier", "--json", "--idempotency-key", key)

    first, again = (json.loads(command(*arguments).stdout)["generation_id"] for _ in range(2))

    assert first == again


def test_a_failed_generation_ends_with_exit_code_one_and_says_why(command: Command):
    done = command("generate", "bfl/flux-schnell", f"a storm {FAILS_EVERYWHERE}")

    assert done.returncode == 1
    assert "BSE4003" in done.stdout


def test_a_failed_generation_runs_again_under_the_same_rules(command: Command):
    failed = generated(command, f"a storm {FAILS_ONCE_EVERYWHERE}")
    assert failed["generation_status"] == "failed"

    done = command("replay", str(failed["generation_id"]), "--json")

    story = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert story["generation"]["status"] == "succeeded"
    assert story["generation"]["replay_of"] == failed["generation_id"]
    assert [transfer["operation"] for transfer in story["credits"]["transfers"]] == ["reserve", "settle"]


def test_only_a_failed_generation_runs_again(command: Command):
    record = generated(command, "a calm sea")

    done = command("replay", str(record["generation_id"]))

    assert done.returncode == 1
    assert "succeeded; only a failed one" in done.stderr


def test_the_curl_line_works_when_it_is_pasted(stack: StackProcess):
    done = subprocess.run(["sh", "-c", stack.curl], capture_output=True, check=True, text=True, timeout=60)

    assert json.loads(done.stdout)["data"]["generation_initialized"] is True


def test_what_is_printed_leads_somewhere(stack: StackProcess):
    for name in ("API docs", "Temporal UI", "Sandbox"):
        line = next(line for line in stack.lines if line.strip().startswith(name))
        address = next(word for word in line.split() if word.startswith("http"))

        assert httpx.get(address, follow_redirects=True).status_code == 200, line


def test_the_schema_is_up_to_date_after_the_start(command: Command, stack: StackProcess):
    done = subprocess.run(
        [*_python("migrate")],
        env={**_settings(stack)},
        cwd=stack.data.parent,
        capture_output=True,
        check=False,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert "up to date" in done.stdout
    assert command("migrate").stdout == done.stdout, "the data folder names the same system"


def test_without_a_stack_and_without_settings_the_way_out_is_said(tmp_path: Path):
    done = babysea("credits", "check", data=tmp_path / "none")

    assert done.returncode == 1
    assert "make run" in done.stderr
    assert "BABYSEA_DATABASE_URL" in done.stderr


def _python(*arguments: str) -> list[str]:
    import sys

    return [sys.executable, "-m", "cli.main", *arguments]


def _settings(stack: StackProcess) -> dict[str, str]:
    from embedded import running
    from tests.cli.running import environment

    found = running.find(stack.data)
    assert found is not None
    return {**environment(), **found.settings_environment()}
