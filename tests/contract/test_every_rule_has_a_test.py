"""The contract's facts, error codes, endpoints and sections, each held against the names of the tests."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from api.errors import rows
from tests.contract.routes import ROUTES

TESTS = Path(__file__).parents[1]

FILE_REFUSED = "api/test_input_files.py::test_6_a_file_that_cannot_be_used_is_refused_by_field_and_index"
PROVIDER_FAILED = (
    "contract/test_s06_errors.py::test_any_other_failure_of_the_last_provider_is_bse4003_with_that_reason_kept"
)

# Codes whose test does not begin with `test_bse1234_`: by their path, or by the kind of refusal that it is given.
CODES_ELSEWHERE = {
    "BSE2002": FILE_REFUSED,
    "BSE2003": FILE_REFUSED,
    "BSE2004": FILE_REFUSED,
    "BSE2005": FILE_REFUSED,
    "BSE2006": "contract/test_s06_errors.py::test_a_final_refusal_of_a_provider_is_the_code_of_the_generation",
    "BSE2007": FILE_REFUSED,
    "BSE2009": FILE_REFUSED,
    "BSE3006": "api/test_operators.py::test_what_does_not_exist_is_not_found",
    "BSE3007": "contract/test_s03_keys.py::test_3_5_a_rotated_key_works_beside_its_successor_until_the_grace_ends",
    "BSE4001": PROVIDER_FAILED,
    "BSE4002": "workflows/test_generation.py::"
    "test_a_job_that_never_ends_meets_its_deadline_and_the_next_provider_is_asked",
    "BSE4003": PROVIDER_FAILED,
    "BSE4005": PROVIDER_FAILED,
    "BSE4006": PROVIDER_FAILED,
    "BSE4008": PROVIDER_FAILED,
    "BSE4009": PROVIDER_FAILED,
    "BSE4010": "activities/test_provider.py::test_an_output_that_is_not_one_fails_the_attempt_after_a_second_look",
    "BSE4011": PROVIDER_FAILED,
    "BSE5003": "api/test_admission.py::test_without_postgresql_nothing_is_started",
    "BSE5004": "api/test_admission.py::test_without_temporal_the_request_fails_and_holds_nothing",
    "BSE5005": "workflows/test_generation.py::test_an_output_that_cannot_be_stored_is_our_fault_and_final",
}

# Sections whose rules are tested under their number: `test_3_5_a_rotated_key_...`.
SECTIONS = (
    *(
        "2_2",
        "2_3",
        "2_4",
        "2_5",
        "3_1",
        "3_2",
        "3_3",
        "3_4",
        "3_5",
        "3_6",
        "4",
        "5_1",
        "5_2",
        "6",
        "6_1",
        "7",
        "8",
        "9",
    ),
    *("11_1", "11_2", "13", "14"),
)
# Those whose tests are named after what they are about.
SECTIONS_ELSEWHERE = {
    "2_1": "api/test_keys.py::test_3_1_a_key_of_another_region_is_unknown_here",
    "12_1": "domain/test_webhook_events.py::test_a_test_cannot_be_subscribed_to_and_low_balance_only_on_purpose",
    "12_2": "domain/test_webhook_events.py::test_what_does_not_apply_is_left_out",
    "12_3": "activities/test_webhooks.py::test_every_header_of_the_contract_is_sent_and_agrees_with_the_body",
    "12_4": "domain/test_signature.py::test_the_published_test_vector_is_reproduced",
    "12_5": "activities/test_webhooks.py::test_the_schedule_is_the_contracts_and_the_body_never_changes",
    "12_6": "api/test_webhooks.py::test_a_drain_sends_what_was_missed_in_its_order_and_afresh",
    "12_7": "adapters/test_webhook_http.py::test_a_private_or_malformed_address_gets_nothing",
    "12_8": "api/test_callbacks.py::test_a_forged_or_stale_callback_is_refused_and_wakes_nobody",
    "16": "api/test_audit.py::test_a_change_leaves_one_row_and_a_refusal_none",
}


@cache
def test_names() -> frozenset[str]:
    """Every test as `folder/file.py::name`."""
    return frozenset(
        f"{path.relative_to(TESTS)}::{node.name}"
        for path in TESTS.rglob("test_*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    )


test_names.__test__ = False  # type: ignore[attr-defined]


def named(pattern: str) -> list[str]:
    return [name for name in test_names() if re.search(rf"::{pattern}", name)]


@pytest.mark.parametrize("number", range(1, 19))
def test_each_fact_of_section_1_has_a_test(number: int):
    assert [name for name in named(f"test_1_{number}_") if name.startswith("contract/test_s01_facts.py")]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.code)
def test_each_code_of_section_6_has_a_test(row: object):
    code: str = row.code  # type: ignore[attr-defined]

    assert named(f"test_{code.lower()}_") or CODES_ELSEWHERE.get(code) in test_names(), f"{code} has no test"


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_each_endpoint_of_section_10_has_a_test_of_its_exact_members(route: object):
    section: str = route.section.replace(".", "_")  # type: ignore[attr-defined]

    assert named(rf"test_{section}_.*(exactly_these_members|what_a_read_answers|null_but_for_the_balance)")


@pytest.mark.parametrize("section", SECTIONS)
def test_each_section_has_tests_under_its_number(section: str):
    assert named(rf"test_(section_)?{section}_")


@pytest.mark.parametrize("place", sorted({*CODES_ELSEWHERE.values(), *SECTIONS_ELSEWHERE.values()}))
def test_each_test_that_is_named_here_exists(place: str):
    assert place in test_names()
