"""Section 1.7 and 6.1: what a create answers as retryable leaves nothing running and nothing held. Path by path."""

from __future__ import annotations

import re
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError

from activities.failures import named_failures
from api.openapi import resolved
from api.schemas import GenerationAccepted
from domain.generation import Admission, GenerationRequest
from settings import Settings
from store import generations
from store.connection import Pool, single
from tests.api.conftest import NewCustomer, generate, serving
from tests.api.reading import data_of, error_of
from tests.api.test_admission import admitting, held, only_generation, patient, unattended  # noqa: F401 - fixtures
from tests.contract.conforming import Conformance
from tests.contract.test_every_rule_has_a_test import test_names

# Every code that a create may answer as retryable, and the test that looks at what it leaves behind.
RETRYABLE = {
    "BSE1005": "contract/test_s04_order.py::test_4_the_request_limit_before_the_idempotency_key",
    "BSE1006": "contract/test_s04_order.py::test_4_the_limit_of_the_address_before_a_key_that_is_good",
    "BSE1009": "contract/test_s07_limits.py::test_7_many_at_once_fill_the_cap_exactly_and_hold_only_that",
    "BSE2016": "contract/test_s08_idempotency.py::test_8_different_bodies_at_once_make_one_generation_and_conflicts",
    "BSE4004": "contract/test_s01_facts.py::"
    "test_1_7_a_refusal_that_may_be_repeated_leaves_nothing_running_and_nothing_held",
    "BSE5001": "contract/test_s06_retryable.py::test_a_bug_in_the_admission_is_answered_when_nothing_is_held",
    "BSE5002": "api/test_input_files.py::test_what_a_failing_store_may_have_kept_stays_on_the_list",
    "BSE5003": "api/test_admission.py::test_without_postgresql_nothing_is_started",
    "BSE5004": "api/test_admission.py::test_without_a_worker_the_wait_ends_and_the_generation_is_abandoned",
}


def test_every_retryable_answer_of_a_create_has_a_test(conformance: Conformance):
    create = conformance.document["paths"]["/v1/generate/image/{model_identifier}"]["post"]
    examples: list[Any] = [
        shown["value"]["error"]
        for response in create["responses"].values()
        for shown in resolved(conformance.document, response)["content"]["application/json"]
        .get("examples", {})
        .values()
    ]

    assert {error["code"] for error in examples if error["retryable"]} == set(RETRYABLE)
    assert set(RETRYABLE.values()) <= test_names()


@pytest.mark.parametrize("kind", ["AdmissionUnknown", "FailedAfterStart"])
def test_what_may_have_left_something_behind_is_documented_as_not_retryable(conformance: Conformance, kind: str):
    create = str(conformance.document["paths"]["/v1/generate/image/{model_identifier}"]["post"]["responses"])
    named = [
        resolved(conformance.document, {"$ref": reference})["content"]["application/json"]["examples"]
        for reference in re.findall(r"#/components/responses/\w+", create)
    ]

    (shown,) = [examples[kind] for examples in named if kind in examples]
    assert shown["value"]["error"]["retryable"] is False


async def test_a_bug_in_the_admission_is_answered_when_nothing_is_held(
    patient: Settings,  # noqa: F811
    unattended: Client,  # noqa: F811
    new_customer: NewCustomer,
    pool: Pool,
):
    @activity.defn(name="admit_generation")
    async def broken(request: GenerationRequest) -> Admission:
        raise ApplicationError("a bug", type="ValueError", non_retryable=True)

    customer = await new_customer()
    calm = patient.model_copy(update={"admission_timeout_s": 10})
    async with admitting(unattended, broken), serving(calm) as http:
        response = await generate(http, customer)

        assert error_of(response) == (500, "BSE5001")
        assert response.json()["error"]["retryable"] is True
        assert (await only_generation(http, customer))["generation_status"] == "failed"
    assert await held(pool, customer) == 0


async def test_a_bug_after_the_admission_does_not_say_that_nothing_is_held(
    patient: Settings,  # noqa: F811
    unattended: Client,  # noqa: F811
    new_customer: NewCustomer,
    pool: Pool,
):
    @activity.defn(name="admit_generation")
    async def broken_behind(request: GenerationRequest) -> Admission:
        with named_failures():
            async with single(pool) as conn:
                await generations.admit(conn, request)
        raise ApplicationError("a bug", type="ValueError", non_retryable=True)

    customer = await new_customer()
    calm = patient.model_copy(update={"admission_timeout_s": 10})
    async with admitting(unattended, broken_behind), serving(calm) as http:
        response = await generate(http, customer)

    assert data_of(response, GenerationAccepted)["generation_id"]  # it was admitted: the records say so
    assert await held(pool, customer) > 0
