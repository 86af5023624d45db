"""Section 7: a sliding minute per account, the numbers by plan."""

from __future__ import annotations

import pytest

from api.rate_limits import RateLimiter, limit_of
from domain.errors import RateLimitExceeded

ACCOUNT = "5a1e0b7c-3c1d-4e52-9f0a-b6c2d4e8f013"


class Clock:
    def __init__(self) -> None:
        self.now = 60_000.0  # the beginning of a minute

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limiter(clock: Clock) -> RateLimiter:
    return RateLimiter(clock)


@pytest.mark.parametrize(
    ("plan", "limit"),
    [
        ("free", 60),
        ("starter", 120),
        ("pro", 300),
        ("scale", 600),
        ("enterprise", 1200),
        ("Starter Monthly", 120),
        ("unheard of", 60),
    ],
)
def test_each_plan_has_its_limit(plan: str, limit: int):
    assert limit_of(plan) == limit


def test_the_window_counts_down_and_names_its_end(limiter: RateLimiter):
    first, second = limiter.hit(ACCOUNT, 60), limiter.hit(ACCOUNT, 60)

    assert (first.limit, first.remaining, first.resets_at) == (60, 59, 60_060)
    assert second.remaining == 58


def test_the_request_over_the_limit_is_refused_and_told_when_to_come_back(limiter: RateLimiter, clock: Clock):
    for _ in range(3):
        limiter.hit(ACCOUNT, 3)
    clock.now += 30

    with pytest.raises(RateLimitExceeded) as refused:
        limiter.hit(ACCOUNT, 3)

    assert refused.value.details == {"retry_after_seconds": 50, "limit": 3}
    assert refused.value.retry_after is not None


def test_the_named_delay_is_enough_and_not_a_second_too_long(limiter: RateLimiter, clock: Clock):
    for _ in range(3):
        limiter.hit(ACCOUNT, 3)
    clock.now += 30
    with pytest.raises(RateLimitExceeded) as refused:
        limiter.hit(ACCOUNT, 3)
    wait_s = refused.value.details["retry_after_seconds"]

    clock.now += wait_s - 1
    with pytest.raises(RateLimitExceeded):
        limiter.hit(ACCOUNT, 3)
    clock.now += 1
    limiter.hit(ACCOUNT, 3)


def test_refused_requests_do_not_count(limiter: RateLimiter, clock: Clock):
    limiter.hit(ACCOUNT, 1)
    for _ in range(10):
        with pytest.raises(RateLimitExceeded):
            limiter.hit(ACCOUNT, 1)

    clock.now += 120

    assert limiter.hit(ACCOUNT, 1).remaining == 0


def test_the_last_minute_fades_while_this_one_passes(limiter: RateLimiter, clock: Clock):
    for _ in range(10):
        limiter.hit(ACCOUNT, 10)

    clock.now += 90  # half of the next minute: five of the ten still count

    assert limiter.hit(ACCOUNT, 10).remaining == 4


def test_accounts_do_not_share_a_window(limiter: RateLimiter):
    limiter.hit(ACCOUNT, 1)

    assert limiter.hit("another account", 1).remaining == 0
