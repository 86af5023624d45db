"""The container set-up is data: checked against the Compose specification and against the code it runs."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from typer.main import get_command

from adapters.providers.registry import KINDS
from cli.main import app
from embedded import temporal
from embedded.config import StackConfig, environment
from settings import by_environment_name

PROJECT = Path(__file__).parents[2]
SCHEMA = json.loads((Path(__file__).parent / "compose_spec.json").read_text())  # compose-spec, Apache-2.0
COMPOSE_TEXT = (PROJECT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (PROJECT / "Dockerfile").read_text()


def test_the_compose_file_keeps_to_the_specification():
    jsonschema.Draft7Validator(SCHEMA).validate(COMPOSE)


def test_the_whole_system_is_there():
    assert {"postgres", "temporal", "temporal-ui", "migrate", "api", "worker"} <= set(SERVICES)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_waits_only_for_services_that_exist_and_can_say_when_they_are_ready(name: str):
    for other, wait in SERVICES[name].get("depends_on", {}).items():
        assert other in SERVICES
        if wait["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_gets_only_settings_that_exist(name: str):
    given = {key for key in SERVICES[name].get("environment", {}) if key.startswith("BABYSEA_")}

    assert given <= set(by_environment_name())


@pytest.mark.parametrize("name", ["api", "worker", "migrate"])
def test_our_services_are_handed_every_setting(name: str):
    missing = set(by_environment_name()) - set(SERVICES[name]["environment"])

    assert not missing, f"{missing}: name them under x-settings in docker-compose.yml, else nobody can set them there."


def test_the_api_of_the_image_binds_where_the_settings_say(monkeypatch: pytest.MonkeyPatch):
    given = dict(re.findall(r"\b(BABYSEA_\w+)=(\S+)", DOCKERFILE)) | {"BABYSEA_API_PORT": "9000"}
    for name, value in {"BABYSEA_SECRET_KEY": "s" * 40, "BABYSEA_DATABASE_URL": "postgresql://x", **given}.items():
        monkeypatch.setenv(name, value)
    became: list[str] = []
    monkeypatch.setattr(os, "execv", lambda _, arguments: became.extend(arguments))

    get_command(app)(["api"], standalone_mode=False)

    assert re.search(r'^CMD \["babysea", "api"\]$', DOCKERFILE, re.MULTILINE)
    assert " ".join(became).partition("--host ")[2] == "0.0.0.0 --port 9000"


def test_the_simulated_providers_take_the_settings_that_the_compose_file_names_for_them(tmp_path: Path):
    named = dict(re.findall(r"^#   (BABYSEA_\w+)=(\S+)$", COMPOSE_TEXT, re.MULTILINE))
    embedded_ones = environment(StackConfig(tmp_path), "")

    assert {name.split("_")[1].lower() for name in named} == set(KINDS) | {"private", "stripe"}, (
        "Name what the simulated provider accepts in the comment at the top of docker-compose.yml."
    )
    assert named == {name: embedded_ones[name].replace("127.0.0.1:8090", "sandbox:8090") for name in named}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_ports_are_published_on_loopback_only(name: str):
    assert all(str(port).startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_named_volumes_are_declared(name: str):
    named = {volume.partition(":")[0] for volume in SERVICES[name].get("volumes", []) if not volume.startswith("./")}

    assert named <= set(COMPOSE["volumes"])


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_an_image_is_pinned_to_a_version(name: str):
    image = SERVICES[name].get("image")

    assert image is None or re.search(r":\d", image)


def test_a_service_that_is_built_names_a_target_of_the_dockerfile():
    targets = set(re.findall(r"^FROM \S+ AS (\S+)$", DOCKERFILE, re.MULTILINE))

    assert {service["build"]["target"] for service in SERVICES.values() if "build" in service} <= targets


def test_the_engine_gets_the_same_search_attributes_as_the_embedded_one():
    words = " ".join(SERVICES["engine-setup"]["command"])

    assert set(re.findall(r"--name (\w+) --type Keyword", words)) == set(temporal.SEARCH_ATTRIBUTES)


def test_the_engine_is_tuned_like_the_embedded_one():
    tuned = yaml.safe_load((PROJECT / "docker" / "temporal.yml").read_text())

    for key, (entry,) in tuned.items():
        assert json.dumps(entry["value"]) == temporal.DYNAMIC_CONFIG[key]


def test_the_image_holds_every_package_and_runs_as_nobody_special():
    packages = {path.parent.name for path in PROJECT.glob("*/__init__.py")} - {"tests"}
    modules = {path.name for path in PROJECT.glob("*.py")}
    copied = set(re.findall(r"^COPY (?!--)(.+) \S+$", DOCKERFILE, re.MULTILINE))
    names = {name for line in copied for name in line.split()}

    assert packages | modules <= names
    assert re.search(r"^USER (?!root)\w+$", DOCKERFILE, re.MULTILINE)


def test_what_is_copied_into_the_image_is_not_ignored():
    kept = (PROJECT / ".dockerignore").read_text().splitlines()
    packages = {path.parent.name for path in PROJECT.glob("*/__init__.py")} - {"tests"}

    assert {f"!{name}" for name in packages} <= set(kept)
