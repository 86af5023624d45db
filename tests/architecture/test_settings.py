"""What the settings refuse, and that their bounds fit the limits of the code which they lie inside."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import ValidationError

import settings
from api import input_files
from api.starting import ABANDON_WITHIN_S
from catalog.plans import load_plans
from domain.sealing import ROOT_CHARS_MIN
from settings import Settings
from store.connection import STATEMENT_TIMEOUT
from store.idempotency import COMMIT_MARGIN, LEASE
from workflows import options


def read(**given: object) -> Settings:
    return Settings(**{"_env_file": None, "secret_key": "s" * 40, "database_url": "postgresql://x"} | given)  # type: ignore[arg-type]


def test_the_api_gives_up_an_admission_before_another_request_may_take_over_its_key():
    fetching = input_files.TIME_MAX + input_files.COPY_TIME_MIN + input_files.ADMISSION_TIME_MIN
    admission = max(fetching, timedelta(seconds=settings.ADMISSION_TIMEOUT_BELOW_S))
    assert admission + timedelta(seconds=ABANDON_WITHIN_S) <= LEASE - COMMIT_MARGIN
    assert STATEMENT_TIMEOUT < COMMIT_MARGIN


@pytest.mark.parametrize(
    ("below_s", "step"),
    [
        pytest.param(settings.SUBMIT_TIMEOUT_BELOW_S, options.SUBMIT, id="submit"),
        pytest.param(settings.WEBHOOK_TIMEOUT_BELOW_S, options.DELIVER, id="webhook"),
    ],
)
def test_a_request_ends_with_time_for_a_database_step_before_its_own_step_is_ended(
    below_s: float, step: options.ActivityOptions
):
    assert timedelta(seconds=below_s) + STATEMENT_TIMEOUT <= step["start_to_close_timeout"]


@pytest.mark.parametrize("name", ["submit_timeout_s", "admission_timeout_s", "webhook_timeout_s"])
def test_a_bound_is_named_where_the_setting_is_described(name: str):
    below_s = getattr(settings, f"{name.removesuffix('_s').upper()}_BELOW_S")

    assert f"below {below_s}." in str(Settings.model_fields[name].description)


def test_the_root_secret_is_as_long_as_its_user_demands():
    assert settings.SECRET_KEY_CHARS_MIN == ROOT_CHARS_MIN
    assert read(secret_key="s" * ROOT_CHARS_MIN)


def test_a_short_root_secret_is_refused_in_words_that_do_not_show_it():
    with pytest.raises(ValidationError, match="needs at least 32; `openssl rand -base64 48` makes one") as refused:
        read(secret_key="hunter2")

    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("log_level", "loud"),
        ("database_pool_max", 0),
        ("file_url_ttl_s", 0),
        ("file_url_ttl_s", settings.FILE_URL_TTL_MAX_S + 1),
        ("trusted_proxies", "10.0.0.0/99"),
        ("trusted_proxies", "192.0.2.1, proxy.example"),
        ("provider_rate_share", 0),
        ("image_deadline_s", 0),
        ("video_deadline_s", -1),
        ("image_callback_grace_s", -1),
        ("video_callback_grace_s", -1),
        ("poll_interval_s", 0),
        ("submit_timeout_s", 0),
        ("submit_timeout_s", settings.SUBMIT_TIMEOUT_BELOW_S),
        ("adoption_window_s", 0),
        ("admission_timeout_s", 0),
        ("admission_timeout_s", settings.ADMISSION_TIMEOUT_BELOW_S),
        ("webhook_timeout_s", 0),
        ("webhook_timeout_s", settings.WEBHOOK_TIMEOUT_BELOW_S),
    ],
)
def test_a_value_outside_its_bounds_is_refused_by_name(name: str, value: object):
    with pytest.raises(ValidationError, match=name):
        read(**{name: value})


def test_the_public_address_may_be_written_with_a_slash_at_its_end():
    assert read(public_url="https://api.example.com/").public_url == "https://api.example.com"


def test_no_plan_keeps_files_for_longer_than_an_address_may_live():
    kept = [plan.retention.output_files for plan in load_plans().by_identifier.values()]

    assert max(kept) <= timedelta(seconds=settings.FILE_URL_TTL_MAX_S)
