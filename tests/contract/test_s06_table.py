"""Section 6, the table: code, type, HTTP status and retry flag of every row, written out and compared."""

from __future__ import annotations

from typing import Any

import pytest

from api.errors import STATUS, error_body, rows, status_of
from domain import errors as e

# Code, type, HTTP, retryable; None where section 6.1 says how it is found out.
CONTRACT = [
    ("BSE1001", "authentication_required", 401, False),
    ("BSE1002", "authentication_failed", 401, False),
    ("BSE1003", "insufficient_permissions", 403, False),
    ("BSE1004", "insufficient_credits", 402, False),
    ("BSE1005", "rate_limit_exceeded", 429, True),
    ("BSE1006", "auth_rate_limited", 429, True),
    ("BSE1007", "ip_not_allowed", 403, False),
    ("BSE1008", "account_not_found", 404, False),
    ("BSE1009", "concurrency_limit_exceeded", 429, True),
    ("BSE2001", "invalid_input", 400, False),
    ("BSE2002", "file_too_large", 422, False),
    ("BSE2003", "file_too_small", 422, False),
    ("BSE2004", "unsupported_file_format", 422, False),
    ("BSE2005", "file_load_error", 422, False),
    ("BSE2006", "content_policy_violation", 422, False),
    ("BSE2007", "file_size_exceeded", 422, False),
    ("BSE2008", "parameter_out_of_range", 422, False),
    ("BSE2009", "file_download_error", 422, False),
    ("BSE2010", "payload_too_large", 413, False),
    ("BSE2011", "model_not_found", 404, False),
    ("BSE2012", "unsupported_provider_order", 400, False),
    ("BSE2013", "model_type_mismatch", 400, False),
    ("BSE2014", "invalid_idempotency_key", 400, False),
    ("BSE2015", "idempotency_key_reused", 409, False),
    ("BSE2016", "idempotency_in_progress", 409, True),
    ("BSE2017", "unsupported_media_type", 415, False),
    ("BSE3001", "generation_not_found", 404, False),
    ("BSE3002", "generation_not_cancelable", 409, False),
    ("BSE3003", "generation_in_progress", 409, False),
    ("BSE3004", "route_not_found", 404, False),
    ("BSE3005", "method_not_allowed", 405, False),
    ("BSE4001", "provider_error", 502, True),
    ("BSE4002", "provider_timeout", 504, True),
    ("BSE4003", "all_providers_failed", 502, None),
    ("BSE4004", "provider_unavailable", 503, True),
    ("BSE4005", "provider_rate_limited", 503, True),
    ("BSE4006", "provider_capacity", 503, True),
    ("BSE4007", "provider_paused", 503, False),
    ("BSE4008", "provider_credits_exhausted", 503, False),
    ("BSE4009", "provider_rejected_input", 422, False),
    ("BSE4010", "provider_invalid_output", 502, True),
    ("BSE4011", "provider_auth_failed", 502, False),
    ("BSE5001", "internal_error", 500, True),
    ("BSE5002", "storage_error", 503, True),
    ("BSE5003", "database_unavailable", 503, True),
    ("BSE5004", "queue_unavailable", 503, True),
    ("BSE5005", "output_persist_failed", 500, False),
    ("BSE5006", "generation_expired", 504, False),
]
# Ours, in families of the contract: a limit that operators set, and a model without a price.
OURS = [("BSE1010", "spending_limit_reached", 402, False), ("BSE2018", "model_unpriced", 422, False)]
# Ours, outside the compatibility promise: the operator API and the routes for buying credits answer them.
OPERATOR_API = [
    ("BSE5007", "payments_unavailable", 503, True),
    ("BSE3006", "resource_not_found", 404, False),
    ("BSE3007", "conflict", 409, False),
]

# Failures that are not to be repeated although their row is: nobody knows what they left behind.
STRICTER_THAN_THEIR_ROW = {e.AdmissionUnknown, e.FailedAfterStart}


def kinds(kind: type[e.ControlPlaneError] = e.ControlPlaneError) -> list[type[e.ControlPlaneError]]:
    """Every failure that can be raised: the leaves, and the inner nodes that have a status of their own."""
    below = [found for child in kind.__subclasses__() if child.__module__ == e.__name__ for found in kinds(child)]
    return ([kind] if kind in STATUS or not below else []) + below


def test_the_table_of_the_code_is_the_table_of_the_contract():
    ours = [(row.code, row.type, row.status, row.retryable) for row in rows()]

    assert ours == sorted(CONTRACT + OURS + OPERATOR_API)


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.code)
def test_each_row_says_what_it_means_in_a_sentence(row: Any):
    assert row.meaning.endswith(".")
    assert row.meaning[0].isupper()


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_each_failure_is_answered_as_its_row(kind: type[e.ControlPlaneError]):
    row = next(row for row in rows() if row.code == kind.code)

    assert (kind.type, status_of(kind)) == (row.type, row.status)
    if kind not in STRICTER_THAN_THEIR_ROW and row.retryable is not None:
        assert kind.retryable is row.retryable


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_each_failure_or_its_parent_has_a_status(kind: type[e.ControlPlaneError]):
    assert any(parent in STATUS for parent in kind.__mro__), f"add {kind.__name__} to STATUS in api/errors.py"


def test_a_kind_that_nobody_knows_is_an_internal_error():
    class Unheard(e.ControlPlaneError):
        """Not in the table."""

    assert status_of(Unheard) == 500


@pytest.mark.parametrize(
    ("flags", "retryable"),
    [
        pytest.param([False, True], True, id="one provider may be asked again"),
        pytest.param([False, False], False, id="none may be asked again"),
        pytest.param([], False, id="none was asked"),
    ],
)
def test_6_1_all_providers_failed_may_be_repeated_when_one_of_them_may(flags: list[bool], retryable: bool):
    refusals = [e.ProviderRefusal("fal", "BSE4001", "provider_error", "It failed.", flag) for flag in flags]

    assert (
        e.AllProvidersFailed("No provider accepted this generation.", provider_errors=refusals).retryable is retryable
    )


def test_5_2_provider_errors_have_exactly_the_published_members():
    refusal = e.ProviderRefusal("replicate", "BSE4002", "provider_timeout", "No answer in 10 s.", True)
    failed = e.AllProvidersFailed("No provider accepted this generation.", provider_errors=[refusal])

    error = error_body("req_0", failed)["error"]

    assert set(error) == {"code", "type", "message", "retryable", "provider_errors"}
    assert error["provider_errors"] == [
        {
            "provider": "replicate",
            "code": "BSE4002",
            "type": "provider_timeout",
            "message": "No answer in 10 s.",
            "retryable": True,
        }
    ]


def test_6_1_no_402_and_no_4xx_but_429_and_the_busy_key_may_be_repeated():
    repeatable = {row.code for row in rows() if row.retryable and row.status < 500}

    assert repeatable == {"BSE1005", "BSE1006", "BSE1009", "BSE2016"}
