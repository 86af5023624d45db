"""Every fault that a provider can have, through the whole machine: bought once, paid once, ended once."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.support.stack import Caller

PRICE = 0.005


@dataclass(frozen=True)
class Expected:
    status: str = "succeeded"
    provider: str | None = "replicate"
    code: str | None = None
    jobs: int = 1  # that the providers really made for it


FAILED_OVER = Expected(provider="fal")
FAILED_OVER_AFTER_A_JOB = Expected(provider="fal", jobs=2)

CASES = {
    # refused: no job was made, the next provider is asked
    "replicate=submit_401": FAILED_OVER,
    "replicate=submit_402": FAILED_OVER,
    "replicate=submit_404": FAILED_OVER,
    "replicate=submit_422": FAILED_OVER,
    "replicate=submit_429_bare": FAILED_OVER,
    "replicate=submit_500": FAILED_OVER,
    "replicate=submit_503": FAILED_OVER,
    "replicate=reset_before": Expected(provider="fal"),
    "replicate=submit_429x1": Expected(),  # one named second is waited for, at the same provider
    # ambiguous: the job exists and is adopted, never bought again
    "replicate=reset_after": Expected(),
    "replicate=hang_after": Expected(),
    "replicate=submit_401;fal=reset_after": Expected(provider="fal"),
    # the job fails
    "replicate=job_failed": FAILED_OVER_AFTER_A_JOB,
    "replicate=job_failed_e6716": FAILED_OVER_AFTER_A_JOB,
    "replicate=job_failed_oom": FAILED_OVER_AFTER_A_JOB,
    "replicate=job_failed;fal=job_failed": Expected("failed", None, "BSE4003", jobs=2),
    "replicate=submit_500;fal=submit_500": Expected("failed", None, "BSE4003", jobs=0),
    # the customer's fault: not shopped around
    "replicate=content_refused": Expected("failed", None, "BSE2006"),
    "replicate=submit_500;fal=content_refused": Expected("failed", None, "BSE2006"),
    "replicate=submit_500;fal=black_image": Expected("failed", None, "BSE2006"),
    # callbacks
    "replicate=no_callback": Expected(),
    "replicate=duplicate_callback": Expected(),
    "replicate=callback_first": Expected(),
    "replicate=forged_callback": Expected(),
    "replicate=replayed_callback": Expected(),
    "replicate=submit_500;fal=forged_callback": Expected(provider="fal"),
    "replicate=poll_500": Expected(),
    # time
    "replicate=never_ends": FAILED_OVER_AFTER_A_JOB,
    # outputs
    "replicate=output_expired": FAILED_OVER_AFTER_A_JOB,
    "replicate=output_truncated": FAILED_OVER_AFTER_A_JOB,
    "replicate=output_cut": FAILED_OVER_AFTER_A_JOB,
    "replicate=output_wrong_type": FAILED_OVER_AFTER_A_JOB,
    "replicate=output_empty": FAILED_OVER_AFTER_A_JOB,
    "replicate=output_private": FAILED_OVER_AFTER_A_JOB,
    "replicate=output_data_url": Expected(),
}


@pytest.fixture(scope="module")
def ended(caller: Caller) -> dict[str, tuple[str, dict[str, object]]]:
    """All of them at once, as in life."""

    def one(fault: str) -> tuple[str, dict[str, object]]:
        prompt = f"a harbour {uuid.uuid4().hex} [sandbox:{fault}]"
        return prompt, caller.ended(caller.generate(prompt, generation_output_format="png"), within_s=120)

    with ThreadPoolExecutor(16) as threads:
        return dict(zip(CASES, threads.map(one, CASES), strict=True))


@pytest.mark.parametrize(("fault", "expected"), CASES.items(), ids=list(CASES))
def test_a_fault_ends_as_it_should(
    ended: dict[str, tuple[str, dict[str, object]]], caller: Caller, fault: str, expected: Expected
) -> None:
    prompt, record = ended[fault]

    assert record["generation_status"] == expected.status
    assert record.get("generation_provider_used") == expected.provider
    assert record.get("generation_error_code") == expected.code
    assert len(caller.jobs(prompt)) == expected.jobs


def test_exactly_the_deliveries_were_paid(ended: dict[str, tuple[str, dict[str, object]]], caller: Caller) -> None:
    paid = sum(record["generation_status"] == "succeeded" for _, record in ended.values())

    assert caller.balance() == pytest.approx(10 - paid * PRICE)
