"""`babysea models`, `babysea providers`, `babysea check`: what can be made, by whom, and whether our keys are right."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from adapters.providers.registry import KINDS
from cli.deployment import settings_of
from cli.main import app
from cli.model_page import minimal_body, page
from cli.models import catalogue, price_of, retirements
from domain.normalization import normalize
from embedded.config import StackConfig, StackPorts, environment
from tests.support.sandbox import started_sandbox

CATALOGUE = catalogue()
MODELS = list(CATALOGUE.models.values())
FLUX = CATALOGUE.model("bfl/flux-schnell")
Babysea = Callable[..., Result]


@pytest.fixture
def babysea(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Babysea:
    """The command line where nothing is configured but what a test names."""
    for name in [name for name in os.environ if name.startswith("BABYSEA_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def run(*words: str, **variables: str) -> Result:
        return CliRunner().invoke(app, words, env={"COLUMNS": "200", **variables})

    return run


def row_of(table: str, name: str) -> list[str]:
    return next(line for line in table.splitlines() if line.split()[0] == name).split()


# --- models -------------------------------------------------------------------------------------------------------


def test_the_models_are_listed_with_the_providers_that_have_a_key(babysea: Babysea):
    listed = babysea("models", BABYSEA_FAL_KEY="key-id:key-secret").stdout

    columns = row_of(listed, FLUX.identifier)
    assert columns[1] == "image"
    assert "0.005 per generation" in " ".join(columns)
    others = [name for name in FLUX.provider_names if name != "fal"]
    assert f"generation fal {', '.join(others)}" in " ".join(columns)
    assert len(listed.splitlines()) == len(MODELS) + 1


def test_a_model_is_explained(babysea: Babysea):
    said = babysea("models", "show", "google/veo-3.1-fast").stdout

    for words in (
        "google/veo-3.1-fast  Veo 3.1 Fast, by Google",
        "generation_resolution",
        '"720p"',
        "google/veo-3.1-fast@1, since",
        "basis: provider",
        "fal-ai/veo3.1/fast",
        "callback",
        "verified",
        '"duration": "4s"',
        "It costs ",
        "not sent: generation_output_number: there is one output per job",
    ):
        assert words in said


@pytest.mark.parametrize("way", ["--body", "--file"])
def test_a_request_is_shown_as_each_provider_would_be_sent_it(babysea: Babysea, tmp_path: Path, way: str):
    body = json.dumps({"generation_prompt": "a reef", "generation_output_format": "webp", "generation_ratio": "16:9"})
    (tmp_path / "body.json").write_text(body)
    given = body if way == "--body" else "body.json"

    shown = json.loads(babysea("models", "show", FLUX.identifier, way, given, "--json").stdout)

    native = shown["request"]["native"]
    assert native["replicate"]["model"] == "black-forest-labs/flux-schnell"
    assert native["replicate"]["input"]["aspect_ratio"] == "16:9"
    assert native["fal"] == {"cannot_serve": "generation_output_format"}
    assert shown["request"]["quote"] == "0.005"
    assert [one["provider"] for one in shown["providers"]] == list(FLUX.provider_names)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        pytest.param(("bfl/flux-schnel",), "Did you mean bfl/flux-schnell?", id="unknown model"),
        pytest.param((FLUX.identifier, "--body", "{"), "The body is not JSON", id="no JSON"),
        pytest.param((FLUX.identifier, "--body", "[]"), "must be a JSON object", id="no object"),
        pytest.param((FLUX.identifier, "--body", '{"generation_promt": "a"}'), "BSE2001", id="refused"),
    ],
)
def test_what_cannot_be_shown_is_one_line(babysea: Babysea, words: tuple[str, ...], says: str):
    done = babysea("models", "show", *words)

    assert done.exit_code == 1
    assert says in done.stderr


def test_every_model_can_be_explained_for_the_least_that_it_needs():
    for model in MODELS:
        shown = page(model, minimal_body(model), available=(), on=date(2026, 11, 22))

        assert shown["request"]["normal_form"] == normalize(model, model.media_type, minimal_body(model))
        assert any("input" in native for native in shown["request"]["native"].values()), model.identifier


def test_a_retirement_is_said_before_and_after_it():
    day, left = date(2026, 12, 1), replace(FLUX, retires_on=date(2026, 12, 1))
    entry = replace(FLUX.providers[0], retires_on=day)

    assert retirements(FLUX, day) == "-"
    assert retirements(left, date(2026, 11, 30)) == "2026-12-01"
    assert retirements(left, day) == "retired 2026-12-01"
    assert retirements(replace(FLUX, providers=(entry,)), day) == f"at {entry.provider} 2026-12-01"


def test_a_model_without_a_price_today_says_so():
    assert price_of(FLUX, on=date(1999, 1, 1)) == "none yet"


# --- providers ----------------------------------------------------------------------------------------------------


def test_the_providers_are_listed_with_what_is_known_of_them(babysea: Babysea):
    listed = babysea("providers", BABYSEA_REPLICATE_API_TOKEN="r8_x").stdout
    as_json: list[dict[str, Any]] = json.loads(babysea("providers", "--json").stdout)

    assert row_of(listed, "replicate")[:5] == ["replicate", "yes", "webhook_with_polling", "hmac_sha256", "60"]
    assert row_of(listed, "fal")[1] == "no"
    assert [one["provider"] for one in as_json] == sorted(KINDS)
    assert not any(one["available"] for one in as_json)
    assert all(one["models"] for one in as_json)


# --- check --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sandboxed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The settings of an embedded stack, of which the simulated providers run."""
    with started_sandbox() as sandbox:
        config = StackConfig(data=tmp_path_factory.mktemp("data"), ports=StackPorts(sandbox=sandbox.port))
        yield environment(config, "postgresql://nowhere")


def checked(done: Result) -> dict[str, tuple[str, str]]:
    return {row["provider"]: (row["state"], row["why"]) for row in json.loads(done.stdout)}


def test_a_provider_that_takes_the_key_is_ok(babysea: Babysea, sandboxed: dict[str, str]):
    done = babysea("check", "providers", "--json", **sandboxed)

    assert checked(done) == dict.fromkeys(KINDS, ("ok", ""))
    assert done.exit_code == 0


def test_a_provider_that_refuses_the_key_is_named_with_the_setting(babysea: Babysea, sandboxed: dict[str, str]):
    done = babysea("check", "providers", **sandboxed | {"BABYSEA_REPLICATE_API_TOKEN": "r8_wrong"})

    row = " ".join(row_of(done.stdout, "replicate"))
    assert row.startswith("replicate failed ")
    assert row.endswith("The key is not taken: look at BABYSEA_REPLICATE_API_TOKEN.")
    assert done.exit_code == 1


@pytest.mark.parametrize("provider", sorted(KINDS))
def test_every_provider_says_that_it_refuses_a_key(babysea: Babysea, sandboxed: dict[str, str], provider: str):
    prefix = f"BABYSEA_{provider.upper()}_"
    own = {name: value for name, value in sandboxed.items() if name.startswith(prefix)}
    credential = next(name for name in own if name.endswith(("_KEY", "_TOKEN")))

    done = babysea("check", "providers", "--json", **own | {credential: "wrong:wrong"})

    state, why = checked(done)[provider]
    assert state == "failed"
    assert "The key is not taken" in why


def test_what_is_not_configured_is_no_failure(babysea: Babysea, sandboxed: dict[str, str]):
    own = {name: value for name, value in sandboxed.items() if name.startswith("BABYSEA_FAL_")}

    done = babysea("check", "providers", "--json", **own)

    found = checked(done)
    assert found.pop("fal") == ("ok", "")
    assert {state for state, _ in found.values()} == {"not configured"}
    assert found["cloudflare"][1] == "Set BABYSEA_CLOUDFLARE_TOKEN and BABYSEA_CLOUDFLARE_ACCOUNT_ID to use it."
    assert done.exit_code == 0


def test_a_provider_that_does_not_answer_says_nothing_of_the_key(babysea: Babysea):
    done = babysea("check", "providers", "--json", BABYSEA_FAL_KEY="a:b", BABYSEA_FAL_PLATFORM_URL="http://127.0.0.1:9")

    assert checked(done)["fal"] == ("failed", "fal did not answer. Whether the key is right is not known.")
    assert done.exit_code == 1


def test_a_setting_that_cannot_be_right_is_named(babysea: Babysea):
    done = babysea(
        "check", "providers", "--json", BABYSEA_REPLICATE_API_TOKEN="r8_x", BABYSEA_REPLICATE_WEBHOOK_SECRET="nonsense"
    )

    state, why = checked(done)["replicate"]
    assert state == "failed"
    assert why.startswith("A setting of it cannot be right: ")
    assert "nonsense" not in why


def test_the_settings_of_a_stack_are_those_of_its_providers(sandboxed: dict[str, str]):
    found = settings_of(sandboxed).providers["fal"]

    assert found.model_dump()["queue_url"] == sandboxed["BABYSEA_FAL_QUEUE_URL"]
