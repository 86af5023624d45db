"""A job, and its state as a function of the clock: nothing runs, nothing is lost."""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sandbox.faults import NO_FAULTS, FaultPlan

CANCEL_TAKES_S = 0.1  # from the cancel of a running job to its end


class State(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    ABORTED = "aborted"  # its deadline passed before it started

    @property
    def ended(self) -> bool:
        return self not in {State.QUEUED, State.RUNNING}


@dataclass(frozen=True, slots=True)
class Job:
    """What was asked and decided when the job was accepted. Times are unix seconds, durations seconds."""

    id: str
    provider: str
    endpoint: str  # the model, as named in the submit
    input: dict[str, Any]
    created_at: float
    queue_s: float  # inf: never starts
    run_s: float  # inf: never ends
    base_url: str  # how the submitter reached us: URLs in callbacks begin with it
    faults: FaultPlan = NO_FAULTS
    failure: dict[str, Any] | None = None  # decided at submit: what the provider says at the end instead of an output
    deadline_s: float | None = None  # from creation to the end of everything (Replicate's Cancel-After)
    start_timeout_s: float | None = None  # from creation to the start (fal's request timeout)
    webhook_url: str | None = None
    webhook_events: tuple[str, ...] = ()
    origin: str = ""  # Replicate: "" official model, else "version <id>" or "deployment <owner>/<name>"
    cancel_requested_at: float | None = None
    number: int = 0  # rank in the journal
    prompt: str = ""  # wherever the input had it

    @property
    def seed(self) -> int:
        """The seed of the input, or one of the job's own."""
        given = self.input.get("seed")
        return given if type(given) is int else fraction_bits(self.id) % 2**31


@dataclass(frozen=True, slots=True)
class Phase:
    """Where a job stands. A time is None until it is reached."""

    state: State
    started_at: float | None
    ended_at: float | None


def phase(job: Job, now: float) -> Phase:
    start, end, final = fate(job)
    if now >= end:
        return Phase(final, start if start <= end and final is not State.ABORTED else None, end)
    if now >= start:
        return Phase(State.RUNNING, start, None)
    return Phase(State.QUEUED, None, None)


def fate(job: Job) -> tuple[float, float, State]:
    """(start, end, how it ends) if nobody interferes from here on; inf where it never comes."""
    start = job.created_at + job.queue_s
    end = start + job.run_s
    final = State.FAILED if job.failure else State.SUCCEEDED
    if job.start_timeout_s is not None and start > job.created_at + job.start_timeout_s:
        start, end, final = math.inf, job.created_at + job.start_timeout_s, State.ABORTED
    if job.deadline_s is not None and end > (deadline := job.created_at + job.deadline_s):
        end, final = deadline, State.CANCELED if start <= deadline else State.ABORTED
    asked = job.cancel_requested_at
    if asked is None or asked >= end:
        return start, end, final
    if job.faults.has("ignores_cancel"):
        return start, min(end, max(asked, start) + CANCEL_TAKES_S) if math.isinf(end) else end, final
    if asked < start:
        return math.inf, asked, State.CANCELED
    if asked + CANCEL_TAKES_S < end:
        return start, asked + CANCEL_TAKES_S, State.CANCELED
    return start, end, final


def clock() -> float:
    """In whole microseconds, as the documents show it."""
    return round(time.time(), 6)


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def fraction_bits(*parts: object) -> int:
    """64 bits that depend on the parts only."""
    return int.from_bytes(hashlib.blake2b("\0".join(map(str, parts)).encode(), digest_size=8).digest())


def fraction(*parts: object) -> float:
    """A number in [0, 1) that depends on the parts only."""
    return fraction_bits(*parts) / 2**64
