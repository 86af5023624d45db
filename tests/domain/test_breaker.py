"""Section 10.13: when a provider is healthy, degraded, recovering or unknown, by the attempts alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.breaker import AttemptOutcome, BreakerState, ProviderStatus, Thresholds, breaker_state, health_of

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


def story(text: str, *, now: float) -> list[AttemptOutcome]:
    """Outcomes by their second: `F0 F1 S40` is two failures and a success, seen at `now`."""
    return [AttemptOutcome(timedelta(seconds=now - float(word[1:])), word[0] == "S") for word in text.split()]


@pytest.mark.parametrize(
    ("text", "now", "state"),
    [
        pytest.param("", 0, CLOSED, id="nothing happened"),
        pytest.param("F0 F1 F2 F3", 5, CLOSED, id="four attempts prove nothing"),
        pytest.param("F0 F1 F2 F3 F4", 5, OPEN, id="five attempts, all failed"),
        pytest.param("S0 S1 F2 F3 F4", 5, OPEN, id="three of five failed"),
        pytest.param("S0 S1 S2 F3 F4", 5, CLOSED, id="two of five failed"),
        pytest.param("S0 F1 S2 F3 S4 F5", 6, OPEN, id="exactly half of six failed"),
        pytest.param("F0 F1 F2 F3 S4", 5, OPEN, id="it is the share that counts, not the last one"),
        pytest.param("F0 F1 F2 F3 F301", 302, CLOSED, id="the first four of five are too old"),
        pytest.param("F0 F1 F2 F3 F300", 301, OPEN, id="the first is just in the window"),
        pytest.param("F0 F1 F2 F3 F4", 33.9, OPEN, id="open for thirty seconds"),
        pytest.param("F0 F1 F2 F3 F4", 34, HALF_OPEN, id="then it is tried again"),
        pytest.param("F0 F1 F2 F3 F4", 300, HALF_OPEN, id="however long nobody tries"),
        pytest.param("F0 F1 F2 F3 F4 S10 S11 S12", 20, OPEN, id="what was on its way before closes nothing"),
        pytest.param("F0 F1 F2 F3 F4 F33", 34, HALF_OPEN, id="and keeps nothing open"),
        pytest.param("F0 F1 F2 F3 F4 S40", 41, HALF_OPEN, id="one success is not enough"),
        pytest.param("F0 F1 F2 F3 F4 S40 S41", 42, CLOSED, id="two successes close it"),
        pytest.param("F0 F1 F2 F3 F4 S40 F41", 42, OPEN, id="one failure opens it anew"),
        pytest.param("F0 F1 F2 F3 F4 S40 F41", 71, HALF_OPEN, id="for another thirty seconds"),
        pytest.param("F0 F1 F2 F3 F4 S40 F41 S72", 73, HALF_OPEN, id="the two successes must be in a row"),
        pytest.param("F0 F1 F2 F3 F4 S40 F41 S72 S73", 74, CLOSED, id="and then they close it"),
        pytest.param("F0 F1 F2 F3 F4 S40 S41 F42 F43", 44, CLOSED, id="it counts from the beginning"),
        pytest.param("F0 F1 F2 F3 F4 S40 S41 F42 F43 F44 F45 F46", 47, OPEN, id="and opens again by the same rule"),
    ],
)
def test_10_13_the_breaker_opens_is_tried_and_closes(text: str, now: float, state: BreakerState):
    assert breaker_state(story(text, now=now)) is state


@pytest.mark.parametrize(
    ("text", "now", "status", "attempts", "failures", "rate"),
    [
        ("", 0, ProviderStatus.UNKNOWN, 0, 0, 0.0),
        ("S0", 1, ProviderStatus.HEALTHY, 1, 0, 0.0),
        ("F0", 1, ProviderStatus.HEALTHY, 1, 1, 1.0),
        ("F0 F1 F2 S3 S4", 5, ProviderStatus.DEGRADED, 5, 3, 0.6),
        ("F0 F1 F2 F3 F4", 40, ProviderStatus.RECOVERING, 5, 5, 1.0),
        ("F0 F1 F2 F3 F4 S40 S41", 42, ProviderStatus.HEALTHY, 7, 5, 5 / 7),
        ("F0 F1 F2 F3 F4", 301, ProviderStatus.RECOVERING, 4, 4, 1.0),
        ("F0 F1 F2 F3 F4", 305, ProviderStatus.UNKNOWN, 0, 0, 0.0),
    ],
)
def test_10_13_the_status_follows_the_breaker_and_the_counts_are_those_of_the_window(
    text: str, now: float, status: ProviderStatus, attempts: int, failures: int, rate: float
):
    health = health_of(story(text, now=now))

    assert (health.status, health.attempts, health.failures) == (status, attempts, failures)
    assert health.failure_rate == pytest.approx(rate)
    assert health.successes == attempts - failures


def test_10_13_other_thresholds_make_another_breaker():
    strict = Thresholds(timedelta(seconds=60), 2, 0.1, timedelta(seconds=5), 1)

    assert breaker_state(story("S0 F1", now=2), strict) is OPEN
    assert breaker_state(story("S0 F1", now=6), strict) is HALF_OPEN
    assert breaker_state(story("S0 F1 S6", now=7), strict) is CLOSED
    assert breaker_state(story("S0 F61", now=62), strict) is CLOSED


def by_age(ages: list[tuple[int, bool]]) -> list[AttemptOutcome]:
    return [AttemptOutcome(timedelta(seconds=age), good) for age, good in sorted(ages, key=lambda one: -one[0])]


histories = st.lists(st.tuples(st.integers(0, 600), st.booleans()), max_size=40).map(by_age)
thresholds = st.builds(
    Thresholds,
    window=st.integers(1, 300).map(lambda seconds: timedelta(seconds=seconds)),
    attempts_min=st.integers(1, 8),
    failure_rate=st.sampled_from([0.1, 0.5, 0.9, 1.0]),
    open_for=st.integers(1, 60).map(lambda seconds: timedelta(seconds=seconds)),
    successes_to_close=st.integers(1, 4),
)


def aged(outcomes: Sequence[AttemptOutcome], by: timedelta) -> list[AttemptOutcome]:
    return [replace(outcome, age=outcome.age + by) for outcome in outcomes]


def seen_then(outcomes: Sequence[AttemptOutcome], count: int) -> list[AttemptOutcome]:
    """The first outcomes, as they were seen the moment the last of them came."""
    return aged(outcomes[:count], -outcomes[count - 1].age)


@given(histories, thresholds)
def test_without_failures_it_is_never_open(outcomes: list[AttemptOutcome], rules: Thresholds):
    good = [replace(outcome, succeeded=True) for outcome in outcomes]

    assert breaker_state(good, rules) is CLOSED


@given(histories, thresholds)
def test_it_opens_only_on_enough_attempts_of_which_enough_failed(outcomes: list[AttemptOutcome], rules: Thresholds):
    """At each step from closed to open, the window then held what the rule asks for."""
    for count in range(1, len(outcomes) + 1):
        then = seen_then(outcomes, count)
        before = CLOSED if count == 1 else breaker_state(aged(outcomes[: count - 1], -outcomes[count - 1].age), rules)
        if before is CLOSED and breaker_state(then, rules) is OPEN:
            window = [outcome for outcome in then if outcome.age <= rules.window]
            assert len(window) >= rules.attempts_min
            assert any(not outcome.succeeded for outcome in window)


@given(histories, thresholds)
def test_time_alone_only_turns_open_into_half_open(outcomes: list[AttemptOutcome], rules: Thresholds):
    now, later = breaker_state(outcomes, rules), breaker_state(aged(outcomes, rules.open_for), rules)

    assert (now, later) in {(CLOSED, CLOSED), (OPEN, HALF_OPEN), (HALF_OPEN, HALF_OPEN)}


@given(histories, thresholds)
def test_enough_successes_in_a_row_always_close_it(outcomes: list[AttemptOutcome], rules: Thresholds):
    waited = aged(outcomes, rules.open_for + timedelta(seconds=10))
    successes = [
        AttemptOutcome(timedelta(seconds=9) - timedelta(milliseconds=number), succeeded=True)
        for number in range(rules.successes_to_close)
    ]

    if breaker_state(waited, rules) is HALF_OPEN:
        assert breaker_state(waited + successes, rules) is CLOSED


@given(histories, thresholds)
def test_a_failure_while_it_is_tried_again_opens_it(outcomes: list[AttemptOutcome], rules: Thresholds):
    waited = aged(outcomes, rules.open_for)

    if breaker_state(waited, rules) is HALF_OPEN:
        assert breaker_state([*waited, AttemptOutcome(timedelta(0), succeeded=False)], rules) is OPEN


@given(histories, thresholds)
def test_seen_step_by_step_it_is_the_machine_of_the_contract(outcomes: list[AttemptOutcome], rules: Thresholds):
    """The same, written as a machine that keeps its state and a clock."""
    state, opened_at, successes, first = CLOSED, timedelta(0), 0, 0
    for index, outcome in enumerate(outcomes):
        at = -outcome.age
        if state is OPEN and at - opened_at >= rules.open_for:
            state, successes = HALF_OPEN, 0
        if state is CLOSED:
            lately = [each for each in outcomes[first : index + 1] if -each.age >= at - rules.window]
            failed = sum(not each.succeeded for each in lately)
            if len(lately) >= rules.attempts_min and failed / len(lately) >= rules.failure_rate:
                state, opened_at = OPEN, at
        elif state is HALF_OPEN and outcome.succeeded:
            successes += 1
            if successes == rules.successes_to_close:
                state, first = CLOSED, index + 1
        elif state is HALF_OPEN:
            state, opened_at = OPEN, at
    if state is OPEN and -opened_at >= rules.open_for:
        state = HALF_OPEN

    assert breaker_state(outcomes, rules) is state
