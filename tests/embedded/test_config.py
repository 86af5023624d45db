"""What the stack tells its processes, and what it keeps in its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from embedded import config, running, temporal
from embedded.config import StackConfig, StackPorts, environment, secret_key
from embedded.lock import DataLock
from sandbox.alibabacloud import credentials as alibabacloud_credentials
from sandbox.bfl import credentials as bfl_credentials
from sandbox.byteplus import credentials as byteplus_credentials
from sandbox.cloudflare import credentials as cloudflare_credentials
from sandbox.fal import credentials as fal_credentials
from sandbox.openai import credentials as openai_credentials
from sandbox.replicate import credentials as replicate_credentials
from sandbox.runway import credentials as runway_credentials
from sandbox.stripe import credentials as stripe_credentials
from settings import Settings, by_environment_name


def test_every_variable_given_to_the_processes_is_a_setting(tmp_path: Path):
    assert set(environment(StackConfig(tmp_path), "postgresql://")) <= set(by_environment_name())


def test_the_processes_can_read_their_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for name, value in environment(StackConfig(tmp_path, StackPorts(api=1, sandbox=2)), "postgresql://x").items():
        monkeypatch.setenv(name, value)

    settings = Settings()

    assert settings.api_port == 1
    assert settings.private_hosts == "127.0.0.1:2,127.0.0.1:1"
    assert settings.storage_path == (tmp_path / "artifacts").absolute()
    assert settings.webhook_private_addresses


def test_the_sandbox_accepts_the_credentials_that_the_processes_are_given():
    assert config.SANDBOX_ALIBABACLOUD_KEY == alibabacloud_credentials.KEY
    assert config.SANDBOX_REPLICATE_TOKEN == replicate_credentials.API_TOKEN
    assert config.SANDBOX_REPLICATE_WEBHOOK_SECRET == replicate_credentials.WEBHOOK_SECRET
    assert config.SANDBOX_BYTEPLUS_KEY == byteplus_credentials.API_KEY
    assert config.SANDBOX_BFL_KEY == bfl_credentials.KEY
    assert config.SANDBOX_RUNWAY_KEY == runway_credentials.KEY
    assert config.SANDBOX_CLOUDFLARE_TOKEN == cloudflare_credentials.TOKEN
    assert config.SANDBOX_CLOUDFLARE_ACCOUNT_ID == cloudflare_credentials.ACCOUNT_ID
    assert config.SANDBOX_FAL_KEY == fal_credentials.KEY
    assert config.SANDBOX_OPENAI_KEY == openai_credentials.KEY
    assert config.SANDBOX_STRIPE_KEY == stripe_credentials.KEY
    assert config.SANDBOX_STRIPE_WEBHOOK_SECRET == stripe_credentials.WEBHOOK_SECRET
    assert config.SANDBOX_OPENAI_WEBHOOK_SECRET == openai_credentials.WEBHOOK_SECRET


def test_the_secret_key_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path):
    made = secret_key(tmp_path)

    assert secret_key(tmp_path) == made
    assert len(made) >= 32
    assert (tmp_path / "secret_key").stat().st_mode & 0o777 == 0o600


def test_two_folders_have_two_secret_keys(tmp_path: Path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()

    assert secret_key(tmp_path / "one") != secret_key(tmp_path / "two")


def test_a_running_stack_is_found_by_its_note(tmp_path: Path):
    note = running.RunningStack(StackConfig(tmp_path, StackPorts(api=5)), "postgresql://x", 7, {"api": 8})
    with DataLock(tmp_path):
        note.write()

        assert running.find(tmp_path) == note


def test_the_note_of_a_stack_that_was_killed_does_not_count(tmp_path: Path):
    with DataLock(tmp_path):
        running.RunningStack(StackConfig(tmp_path), "postgresql://x", 7).write()

    assert running.find(tmp_path) is None


def test_a_stack_that_is_still_starting_is_not_found(tmp_path: Path):
    with DataLock(tmp_path):
        assert running.find(tmp_path) is None


def test_a_note_keeps_no_secret(tmp_path: Path):
    key = secret_key(tmp_path)
    running.RunningStack(StackConfig(tmp_path), "postgresql://x", 7).write()

    assert key not in (tmp_path / running.FILE_NAME).read_text()


def test_an_engine_database_of_another_version_is_put_aside_and_that_is_said(tmp_path: Path):
    file = temporal.database_file(tmp_path)
    assert temporal.prepare_database(tmp_path) is None
    file.write_text("data")
    Path(f"{file}-wal").write_text("log")
    (file.parent / "version").write_text("0.1\n")

    said = temporal.prepare_database(tmp_path)

    assert said is not None
    assert "0.1" in said
    assert not file.exists()
    assert sorted(path.name for path in file.parent.glob("before-*/*")) == ["temporal.db", "temporal.db-wal"]


def test_an_engine_database_of_this_version_is_kept(tmp_path: Path):
    temporal.prepare_database(tmp_path)
    temporal.database_file(tmp_path).write_text("data")

    assert temporal.prepare_database(tmp_path) is None
    assert temporal.database_file(tmp_path).exists()


def test_the_engine_registers_the_search_attributes_that_the_workflows_set():
    from workflows import names

    assert set(temporal.SEARCH_ATTRIBUTES) == {key.name for key in names.SEARCH_ATTRIBUTES}
