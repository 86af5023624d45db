"""What the end of an attempt means for its generation."""

from __future__ import annotations

import pytest

from domain import ending
from domain.errors import (
    AllProvidersFailed,
    ContentRefused,
    ControlPlaneError,
    InputFileTooBig,
    OutputPersistFailed,
    ProviderAuthFailed,
    ProviderBusy,
    ProviderFailed,
    ProviderRejectedInput,
)
from domain.generation import Asset, AttemptFailure, Decision, Deviation, Measure
from tests.support.requests import a_request

REFUSED = ContentRefused("A safety filter refused the output.")
FAILED = ProviderFailed("HTTP 500")


def failures(*errors: ControlPlaneError) -> list[AttemptFailure]:
    return [ending.failure_of(f"provider-{number}", error) for number, error in enumerate(errors)]


# --- go on or stop ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("last", "final"),
    [
        (FAILED, False),
        (ProviderBusy("429"), False),
        (ProviderAuthFailed("401"), False),
        (ProviderRejectedInput("422"), False),
        (REFUSED, True),
        (InputFileTooBig("too big"), True),
        (OutputPersistFailed("disk full"), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_what_no_other_provider_could_mend_is_final(last: ControlPlaneError, final: bool):
    assert ending.is_final(a_request(), failures(FAILED, last)) is final


@pytest.mark.parametrize(
    ("errors", "final"),
    [
        pytest.param([REFUSED], False, id="the first refusal is shown to another provider"),
        pytest.param([REFUSED, FAILED], False, id="a failure after it"),
        pytest.param([REFUSED, REFUSED], True, id="two refuse"),
        pytest.param([REFUSED, FAILED, REFUSED], True, id="two refuse, one after the other"),
        pytest.param([InputFileTooBig("too big")], True, id="the customer's file"),
    ],
)
def test_with_the_accounts_policy_refused_content_is_shown_to_one_more(errors: list[ControlPlaneError], final: bool):
    assert ending.is_final(a_request(moderation_failover=True), failures(*errors)) is final


# --- the outcome --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "errors", "code"),
    [
        pytest.param(False, [FAILED, FAILED], AllProvidersFailed.code, id="exhausted"),
        pytest.param(False, [FAILED, REFUSED], ContentRefused.code, id="refused, by default"),
        pytest.param(True, [REFUSED, FAILED], ContentRefused.code, id="exhausted, with a refusal in it"),
        pytest.param(True, [FAILED, REFUSED], ContentRefused.code, id="exhausted, with a refusal at its end"),
        pytest.param(True, [FAILED, FAILED], AllProvidersFailed.code, id="exhausted without a refusal"),
        pytest.param(
            True, [REFUSED, OutputPersistFailed("disk full")], OutputPersistFailed.code, id="ended by a fault of ours"
        ),
    ],
)
def test_a_chain_that_contains_a_refusal_ends_as_refused_content(
    policy: bool, errors: list[ControlPlaneError], code: str
):
    outcome = ending.failed(a_request(moderation_failover=policy), failures(*errors))

    assert outcome.error_code == code
    assert len(outcome.provider_errors) == len(errors)


def test_refused_content_says_why_in_the_words_of_the_first_refusal():
    outcome = ending.failed(a_request(moderation_failover=True), failures(REFUSED, FAILED))

    assert outcome.error_message == REFUSED.message


# --- what is charged ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quote", "asked", "delivered", "charged"),
    [
        pytest.param(15_000, 3, 3, 15_000, id="all"),
        pytest.param(15_000, 3, 2, 10_000, id="two of three"),
        pytest.param(15_000, 3, 0, 0, id="none"),
        pytest.param(15_000, 3, 4, 15_000, id="more than asked"),
        pytest.param(10, 3, 1, 3, id="rounded down"),
        pytest.param(10, 3, 2, 6, id="rounded down again"),
        pytest.param(0, 3, 2, 0, id="free"),
    ],
)
def test_fewer_outputs_than_asked_cost_their_part(quote: int, asked: int, delivered: int, charged: int):
    request = a_request(quote_microcredits=quote, output_count=asked)

    assert ending.settlement_microcredits(request, delivered) == charged


def test_a_success_says_how_it_deviates_from_what_was_asked():
    request = a_request(
        params={"generation_output_number": 2, "generation_ratio": "16:9", "generation_output_format": "png"},
        output_count=2,
        decision=Decision(defaulted=["generation_ratio"]),
    )
    asset = Asset("us/a/g/1/0.jpg", "image/jpeg", 10, "00" * 32, 1344, 768)

    outcome = ending.succeeded(
        request,
        attempt_number=1,
        provider="replicate",
        assets=[asset],
        failures=[],
        cost_microcredits=None,
        predict_time_s=None,
    )

    assert outcome.settle_microcredits == request.quote_microcredits // 2
    assert outcome.deviations == [Deviation(Measure.COUNT, "2", "1"), Deviation(Measure.TYPE, "png", "jpg", 0)]
