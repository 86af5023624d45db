"""A job's state is a function of what is known about it and of the clock."""

from __future__ import annotations

from math import inf

import pytest

from sandbox.faults import FaultPlan
from sandbox.jobs import CANCEL_TAKES_S, Job, State, fraction, phase


def a_job(**changes) -> Job:
    """Created at 100, starts at 101, ends at 104."""
    given = {
        "id": "1",
        "provider": "replicate",
        "endpoint": "a/b",
        "input": {},
        "created_at": 100.0,
        "queue_s": 1.0,
        "run_s": 3.0,
        "base_url": "http://x",
    }
    return Job(**(given | changes))


@pytest.mark.parametrize(
    ("job", "at", "expected"),
    [
        pytest.param(a_job(), 100.5, (State.QUEUED, None, None), id="waits"),
        pytest.param(a_job(), 101, (State.RUNNING, 101, None), id="runs"),
        pytest.param(a_job(), 104, (State.SUCCEEDED, 101, 104), id="succeeds"),
        pytest.param(a_job(failure={"error": "x"}), 104, (State.FAILED, 101, 104), id="fails"),
        pytest.param(a_job(run_s=inf), 1e9, (State.RUNNING, 101, None), id="never ends"),
        pytest.param(a_job(queue_s=inf), 1e9, (State.QUEUED, None, None), id="never starts"),
        pytest.param(
            a_job(cancel_requested_at=100.5), 100.5, (State.CANCELED, None, 100.5), id="canceled while it waits"
        ),
        pytest.param(a_job(cancel_requested_at=102), 102.05, (State.RUNNING, 101, None), id="a cancel takes a moment"),
        pytest.param(
            a_job(cancel_requested_at=102),
            103,
            (State.CANCELED, 101, 102 + CANCEL_TAKES_S),
            id="canceled while it runs",
        ),
        pytest.param(a_job(cancel_requested_at=103.95), 105, (State.SUCCEEDED, 101, 104), id="done before the cancel"),
        pytest.param(a_job(cancel_requested_at=104), 105, (State.SUCCEEDED, 101, 104), id="a cancel after the end"),
        pytest.param(
            a_job(cancel_requested_at=102, faults=FaultPlan(("ignores_cancel",))),
            105,
            (State.SUCCEEDED, 101, 104),
            id="ends in spite of the cancel",
        ),
        pytest.param(
            a_job(cancel_requested_at=102, run_s=inf, faults=FaultPlan(("ignores_cancel",))),
            105,
            (State.SUCCEEDED, 101, 102 + CANCEL_TAKES_S),
            id="never ended, ends in spite of the cancel",
        ),
        pytest.param(a_job(deadline_s=2), 105, (State.CANCELED, 101, 102), id="the deadline passes while it runs"),
        pytest.param(a_job(deadline_s=0.5), 105, (State.ABORTED, None, 100.5), id="the deadline passes while it waits"),
        pytest.param(a_job(deadline_s=9), 105, (State.SUCCEEDED, 101, 104), id="the deadline is later than the end"),
        pytest.param(a_job(start_timeout_s=0.5), 105, (State.ABORTED, None, 100.5), id="does not start in time"),
        pytest.param(a_job(start_timeout_s=2), 105, (State.SUCCEEDED, 101, 104), id="starts in time"),
    ],
)
def test_a_state_follows_the_clock(job, at, expected):
    seen = phase(job, at)

    assert (seen.state, seen.started_at, seen.ended_at) == expected
    assert seen.state.ended == (seen.ended_at is not None)


def test_a_seed_is_the_inputs_or_the_jobs_own():
    assert a_job(input={"seed": 7}).seed == 7
    assert a_job().seed == a_job().seed != a_job(id="2").seed


def test_a_fraction_depends_on_its_parts_only():
    assert 0 <= fraction("a", 1) < 1
    assert fraction("a", 1) == fraction("a", 1) != fraction("a", 2)
