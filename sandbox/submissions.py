"""What every submit goes through, whichever provider: counted, faults found, the job made, its answer perhaps lost."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from starlette.requests import Request

from sandbox.callbacks import Bell
from sandbox.connection import hang, reset
from sandbox.faults import FaultPlan, checked, directed, plan
from sandbox.jobs import Job, fate, fraction
from sandbox.journal import Journal

MediaKind = Literal["image", "video"]

_LATENCY_S: dict[MediaKind, tuple[float, float]] = {"image": (0.6, 1.5), "video": (4.0, 8.0)}
_QUEUED_PART = 0.15  # of the whole latency
_CALLBACK_FIRST_WAIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Latencies:
    """How long jobs take: drawn from the model's class, the same for the same seed, model and rank of submit."""

    scale: float = 1.0
    seed: int = 0

    def of(
        self, provider: str, endpoint: str, kind: MediaKind, prompt: str, submit_number: int, faults: FaultPlan
    ) -> tuple[float, float]:
        """(seconds in the queue, seconds running)"""
        if faults.has("never_starts"):
            return math.inf, 0.0
        shortest, longest = _LATENCY_S[kind]
        drawn = shortest + (longest - shortest) * fraction(self.seed, provider, endpoint, prompt, submit_number)
        asked = faults.number("latency")
        total = 0.0 if faults.has("callback_first") else drawn * self.scale if asked is None else asked
        queued = total * _QUEUED_PART
        return queued, math.inf if faults.has("never_ends") else total - queued


@dataclass(frozen=True, slots=True)
class Submit:
    """One submit as received."""

    prompt: str
    number: int  # of this prompt at this provider, from 1
    faults: FaultPlan


class Desk:
    """Takes submits."""

    def __init__(
        self, journal: Journal, bell: Bell, latencies: Latencies, kind_of: Callable[[str, str], MediaKind]
    ) -> None:
        self._journal = journal
        self._bell = bell
        self._latencies = latencies
        self._kind_of = kind_of  # (provider, model)

    def received(self, provider: str, native_input: Any, *, prompt: Any = None) -> Submit:
        """Count a submit and find the faults that act on it. `prompt` where the input does not have it at its top.

        Raises UnknownFaultError.
        """
        if prompt is None and isinstance(native_input, dict):
            prompt = native_input.get("prompt")
        prompt = prompt if isinstance(prompt, str) else ""
        number = self._journal.count_submit(provider, prompt)
        words = directed(prompt, provider) + checked(self._journal.take_configured_faults(provider))
        return Submit(prompt, number, plan(words, number))

    def latency(self, provider: str, endpoint: str, submit: Submit) -> tuple[float, float]:
        kind = self._kind_of(provider, endpoint)
        return self._latencies.of(provider, endpoint, kind, submit.prompt, submit.number, submit.faults)

    async def accepted(self, request: Request, job: Job) -> Job:
        """Keep the job; afterwards the answer may be lost. Raises ConnectionGoneError then."""
        job = self._journal.add(job)
        self._bell.watch(job)
        if job.faults.has("callback_first"):
            await self._bell.rung(job.id, _CALLBACK_FIRST_WAIT_S)
        if job.faults.has("reset_after"):
            await reset(request)
        if job.faults.has("hang_after"):
            await hang(request)
        return job


async def ended(request: Request, job: Job) -> None:
    """Holds the connection until the job has ended, as a provider does that answers with the result."""
    end = fate(job)[1]
    if math.isinf(end):
        await hang(request)
    await asyncio.sleep(max(0.0, end - time.time()))


async def json_body(request: Request) -> Any:
    """The decoded body; None when it is not JSON."""
    try:
        return json.loads(await request.body())
    except ValueError:
        return None


def base_url(request: Request) -> str:
    """How the caller reached us."""
    return f"{request.url.scheme}://{request.headers.get('host', 'localhost')}"
