"""A window slides: what fits, what is left, and when there is room again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.limits import Buckets, Limit, fits, standing

START = 60_000_000
WINDOW = 60_000


def limit(most: int) -> Limit:
    return Limit("default", most, timedelta(milliseconds=WINDOW))


@pytest.mark.parametrize(
    ("seen", "now", "became"),
    [
        pytest.param(Buckets(START, 1, 2), START + WINDOW - 1, Buckets(START, 1, 2), id="not over yet"),
        pytest.param(Buckets(START, 1, 2), START + WINDOW, Buckets(START + WINDOW, 2, 0), id="over: the older one"),
        pytest.param(Buckets(START, 1, 2), START + 2 * WINDOW, Buckets(START + 2 * WINDOW), id="long over: forgotten"),
        pytest.param(Buckets(START, 1, 2), START - 1, Buckets(START - 1), id="the clock was set back: begun anew"),
    ],
)
def test_a_window_turns(seen: Buckets, now: int, became: Buckets):
    assert seen.at(now, WINDOW) == became


@pytest.mark.parametrize(
    ("seen", "elapsed", "remaining", "free_after"),
    [
        pytest.param(Buckets(START), 0, 10, 0, id="nothing yet"),
        pytest.param(Buckets(START, 0, 4), 59_999, 6, 59_999, id="this window counts in full"),
        pytest.param(Buckets(START, 10, 0), 0, 0, 6_000, id="the window before counts in full at first"),
        pytest.param(Buckets(START, 10, 0), 30_000, 5, 30_000, id="and half of it after half of the time"),
        pytest.param(Buckets(START, 10, 5), 30_000, 0, 36_000, id="one more when a tenth has faded"),
        pytest.param(Buckets(START, 0, 10), 0, 0, 66_000, id="a full window fades in the next one"),
    ],
)
def test_what_is_left_and_when_there_is_more(seen: Buckets, elapsed: int, remaining: int, free_after: int):
    now = START + elapsed

    stands = standing(limit(10), seen, now, fitted=False)

    assert (stands.remaining, stands.resets_ms, stands.free_ms) == (remaining, START + WINDOW, START + free_after)


@given(
    most=st.integers(1, 2000), before=st.integers(0, 2000), count=st.integers(0, 2000), elapsed=st.integers(0, 59_999)
)
def test_room_is_promised_for_the_first_moment_at_which_there_is_some(most: int, before: int, count: int, elapsed: int):
    seen, now = Buckets(START, min(before, most), min(count, most)), START + elapsed

    stands = standing(limit(most), seen, now, fitted=fits(limit(most), seen, now))

    free = stands.free_ms
    assert fits(limit(most), seen.at(free, WINDOW), free)
    assert free == now or not fits(limit(most), seen.at(free - 1, WINDOW), free - 1)
    assert (free == now) == (stands.remaining > 0)


@given(st.lists(st.integers(0, WINDOW - 1), min_size=1, max_size=40), st.integers(1, 20))
def test_of_a_burst_exactly_as_many_fit_as_the_limit_says(moments: list[int], most: int):
    """Whatever second of the clock it begins in: the window begins with it."""
    seen, fitted = Buckets(START + min(moments)), 0
    for moment in sorted(moments):
        now = START + moment
        seen = seen.at(now, WINDOW)
        if fits(limit(most), seen, now):
            seen, fitted = Buckets(seen.start_ms, seen.before, seen.current + 1), fitted + 1

    assert fitted == min(len(moments), most)


def test_a_limit_is_per_minute_unless_it_says_otherwise():
    assert Limit("default", 1).window_ms == WINDOW
