"""Named time limits and retry policies: how long each kind of step may take, and what happens when it does not work."""

from __future__ import annotations

from datetime import timedelta
from typing import TypedDict

from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityCancellationType


class LocalOptions(TypedDict):
    start_to_close_timeout: timedelta
    retry_policy: RetryPolicy


class ListeningOptions(TypedDict):
    retry_policy: RetryPolicy
    heartbeat_timeout: timedelta
    cancellation_type: ActivityCancellationType


class JobOptions(LocalOptions, total=False):
    heartbeat_timeout: timedelta
    cancellation_type: ActivityCancellationType


class ActivityOptions(JobOptions, total=False):
    schedule_to_close_timeout: timedelta


_UNTIL_IT_WORKS = RetryPolicy(
    initial_interval=timedelta(milliseconds=200), backoff_coefficient=2, maximum_interval=timedelta(seconds=10)
)

# How long a refused generation stays to give its answer, when the question comes after the refusal.
ANSWER_WAIT = timedelta(seconds=30)

# Records and money: short transactions, repeated until PostgreSQL is back. Only named refusals end them.
RECORD: LocalOptions = {"start_to_close_timeout": timedelta(seconds=10), "retry_policy": _UNTIL_IT_WORKS}

# One submit. A worker that dies in it is noticed by the missing heartbeat; the repeat finds the written intent.
SUBMIT: ActivityOptions = {
    "start_to_close_timeout": timedelta(seconds=60),
    "schedule_to_close_timeout": timedelta(minutes=5),
    "heartbeat_timeout": timedelta(seconds=5),
    "retry_policy": _UNTIL_IT_WORKS,
}

# The same where the answer is the end: the connection is held for as long as the job runs. The caller adds the
# attempt's deadline and `KEEPING` as the time limits. Canceled exactly, as when a job is collected.
SUBMIT_SYNCHRONOUS: ListeningOptions = {
    "heartbeat_timeout": timedelta(seconds=10),
    "retry_policy": _UNTIL_IT_WORKS,
    "cancellation_type": ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
}
KEEPING = timedelta(minutes=10)  # for storing what a job made, beside its deadline

# Looking for the job behind an ambiguous submit: repeated by the server until the activity itself gives up.
ADOPT: ActivityOptions = {
    "start_to_close_timeout": timedelta(seconds=30),
    "schedule_to_close_timeout": timedelta(minutes=5),
    "retry_policy": _UNTIL_IT_WORKS,
    "cancellation_type": ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
}

# Looking at a job, and keeping what it made: repeated by the server, so that a long job adds no events. The caller
# adds the attempt's deadline as schedule_to_close_timeout. Canceled exactly: either it ended, or it counts for nothing.
COLLECT: JobOptions = {
    "start_to_close_timeout": timedelta(minutes=10),
    "heartbeat_timeout": timedelta(seconds=10),
    "retry_policy": _UNTIL_IT_WORKS,
    "cancellation_type": ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
}

# One more look after the deadline: time to read the job and to keep what it made.
LAST_LOOK = timedelta(minutes=2)

# Telling a provider to stop: a courtesy that must not hold up the end.
CANCEL: ActivityOptions = {
    "start_to_close_timeout": timedelta(seconds=15),
    "schedule_to_close_timeout": timedelta(seconds=30),
    "retry_policy": RetryPolicy(initial_interval=timedelta(milliseconds=500), maximum_attempts=3),
}

# One customer webhook; the pauses between attempts come from the activity, as the contract says.
DELIVER: ActivityOptions = {
    "start_to_close_timeout": timedelta(seconds=30),
    "retry_policy": _UNTIL_IT_WORKS,
}

# One event of a payment service: reads there, then one short transaction; repeated until both work.
PAYMENT_EVENT: ActivityOptions = {
    "start_to_close_timeout": timedelta(minutes=2),
    "heartbeat_timeout": timedelta(seconds=10),
    "retry_policy": _UNTIL_IT_WORKS,
}

# Sweeps. Their steps give up soon: the next sweep begins anew. A page is many short calls, hence the heartbeat.
RECONCILE_EVERY = timedelta(minutes=5)
BILL_EVERY = timedelta(minutes=1)
COMPARE_BOOKS_EVERY = timedelta(days=1)
RETAIN_EVERY = timedelta(minutes=10)  # as the contract proposes for files that are kept for an hour
CHORE: ActivityOptions = {
    "start_to_close_timeout": timedelta(seconds=30),
    "retry_policy": RetryPolicy(initial_interval=timedelta(seconds=1), maximum_attempts=5),
}
SWEEP: ActivityOptions = CHORE | {
    "start_to_close_timeout": timedelta(minutes=10),
    "heartbeat_timeout": timedelta(seconds=10),
}

# The proof of the ledger reads every entry once a day, in one snapshot: two hundred thousand a second.
VERIFY_EVERY = timedelta(hours=1)
VERIFY: ActivityOptions = SWEEP | {"start_to_close_timeout": timedelta(minutes=50)}
