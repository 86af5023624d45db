from datetime import UTC, datetime, timedelta

import httpx
import pytest

from adapters.providers.answers import (
    field_names,
    json_object,
    looking,
    microcredits_from_cents,
    moment,
    pooled_client,
    retry_after,
    seconds,
    submitting,
)
from domain.errors import ProviderUnavailable, SubmitAmbiguous

NEVER_SENT = [httpx.ConnectError("dns"), httpx.ConnectTimeout("slow"), httpx.PoolTimeout("full")]
MAYBE_SENT = [
    httpx.ReadTimeout("no answer"),
    httpx.ReadError("reset"),
    httpx.WriteError("reset"),
    httpx.WriteTimeout("stuck"),
    httpx.RemoteProtocolError("server disconnected"),
    httpx.CloseError("close"),
    httpx.DecodingError("compressed all the same"),
]


@pytest.mark.parametrize("loss", NEVER_SENT, ids=lambda loss: type(loss).__name__)
def test_a_submit_that_was_never_sent_made_no_job(loss):
    with pytest.raises(ProviderUnavailable), submitting("Lumen"):
        raise loss


@pytest.mark.parametrize("loss", MAYBE_SENT, ids=lambda loss: type(loss).__name__)
def test_a_submit_whose_answer_was_lost_is_ambiguous(loss):
    with pytest.raises(SubmitAmbiguous), submitting("Lumen"):
        raise loss


@pytest.mark.parametrize("loss", NEVER_SENT + MAYBE_SENT, ids=lambda loss: type(loss).__name__)
def test_a_look_without_an_answer_says_nothing_about_the_job(loss):
    with pytest.raises(ProviderUnavailable), looking("Lumen"):
        raise loss


@pytest.mark.parametrize("part", ["\n", "\r\nX-Other: ", "\x00", "\u200b", "ä"], ids=ascii)
def test_a_credential_that_no_header_can_carry_is_refused_before_a_request_would_show_it(part):
    for headers in [(f"Bearer sk-one{part}two", None), (None, {"x-key": f"one{part}two"})]:
        with pytest.raises(ValueError, match="no HTTP header can carry") as refused:
            pooled_client("https://api.lumen.example", headers[0], timedelta(seconds=1), headers[1])

        assert "one" not in str(refused.value)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'"text"', b"\xff\xfe", b"[" * 100_000])
def test_what_is_not_a_json_object_is_none(body):
    assert json_object(httpx.Response(200, content=body)) is None


@pytest.mark.parametrize(
    ("value", "pause"),
    [
        ("7", timedelta(seconds=7)),
        ("0.5", timedelta(seconds=0.5)),
        ("999999", timedelta(hours=1)),
        ("Wed, 18 Nov 2020 09:14:02 GMT", timedelta(0)),  # long ago
        ("Wed, 18 Nov 2099 09:14:02 GMT", timedelta(hours=1)),
        ("soon", None),
        ("-1", None),
        ("Mon, 01 Jan 2024 00:00:00", None),
        ("", None),
    ],
)
def test_a_pause_is_read_in_seconds_or_as_a_date_and_is_bounded(value, pause):
    assert retry_after({"retry-after": value}) == pause


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("2026-11-18T09:14:02.120Z", datetime(2026, 11, 18, 9, 14, 2, 120_000, UTC)),
        ("2026-11-18T09:14:02", None),
        ("yesterday", None),
        (17, None),
        (None, None),
    ],
)
def test_a_moment_has_a_zone_or_is_none(value, read):
    assert moment(value) == read


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (1, 1.0),
        (0.8, 0.8),
        (True, None),
        ("1", None),
        (-1, None),
        (float("nan"), None),
        pytest.param(10**400, None, id="beyond all reason"),
        (None, None),
    ],
)
def test_a_duration_is_a_number_or_none(value, read):
    assert seconds(value) == read


async def test_a_client_follows_no_redirect_and_reads_no_proxy_from_the_environment(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")

    async with pooled_client("https://lumen.example/v1", "Bearer x", timedelta(seconds=10)) as client:
        assert not client.follow_redirects
        assert not client.trust_env
        assert not client._mounts
        assert client.timeout == httpx.Timeout(10, connect=5)


@pytest.mark.parametrize(
    ("told", "microcredits"),
    [
        (4.5, 45_000),
        (25, 250_000),
        (1.4, 14_000),
        (0, 0),
        (1e308, None),
        (-1, None),
        ("4", None),
        (None, None),
        (True, None),
    ],
)
def test_an_amount_in_cents_is_kept_in_microcredits(told, microcredits):
    assert microcredits_from_cents(told) == microcredits


def test_only_names_are_told_of_what_was_complained_about():
    assert field_names(["width", "promptImage.0.uri", "a prompt of a customer", 7, ""]) == {
        "fields": ["width", "promptImage.0.uri"]
    }
    assert field_names([]) == {}
    assert len(field_names([f"field{rank}" for rank in range(20)])["fields"]) == 10


def test_a_client_may_have_its_credential_in_another_header():
    http = pooled_client("https://api.example.com", None, timedelta(seconds=1), {"x-key": "k"})

    assert http.headers["x-key"] == "k"
    assert "authorization" not in http.headers
