"""Callbacks: when they are due, how often they are repeated, and that a restart forgets none.

One task per job that wants callbacks. What has been sent is in the journal, so a task started again continues.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from sandbox.jobs import Job, fate
from sandbox.journal import Journal
from sandbox.sender import Sender

log = logging.getLogger("sandbox.callbacks")

FINAL = "completed"
_REPLAY_AFTER_S = 1.0


@dataclass(frozen=True, slots=True)
class Signed:
    body: bytes
    headers: Mapping[str, str]


class Style(Protocol):
    """How one provider rings."""

    timeout_s: float
    retry_delays_s: Sequence[float]  # pauses between the attempts at the final callback; the others get one attempt

    def due(self, job: Job, event: str) -> float | None:
        """When this event is to be told; None: never for this job."""

    async def signed(self, job: Job, event: str, at: float, *, forged: bool = False) -> Signed: ...


class Bell:
    """Sends the callbacks of all jobs."""

    def __init__(self, journal: Journal, styles: Mapping[str, Style], *, retry_scale: float = 1.0) -> None:
        self._journal = journal
        self._styles = styles
        self._retry_scale = retry_scale
        self._sender = Sender()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._changed: dict[str, asyncio.Event] = {}
        self._rung: dict[str, asyncio.Event] = {}  # set when the final callback was tried once

    def resume(self) -> None:
        for job in self._journal.ringing():
            self.watch(job)

    def watch(self, job: Job) -> None:
        """Send this job's callbacks as they become due."""
        if job.webhook_url is None:
            return
        self._changed[job.id], self._rung[job.id] = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(self._ring_all(job))
        self._tasks[job.id] = task
        task.add_done_callback(lambda _: self._forget(job.id))

    def changed(self, job_id: str) -> None:
        """The job was canceled: what is due may have moved."""
        if event := self._changed.get(job_id):
            event.set()

    async def rung(self, job_id: str, timeout_s: float) -> None:
        """Wait until the final callback has been tried."""
        if event := self._rung.get(job_id):
            with suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), timeout_s)

    async def close(self) -> None:
        for task in list(self._tasks.values()):
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._sender.close()

    def _forget(self, job_id: str) -> None:
        self._tasks.pop(job_id, None)
        self._changed.pop(job_id, None)
        if rung := self._rung.pop(job_id, None):
            rung.set()

    async def _ring_all(self, job: Job) -> None:
        style = self._styles[job.provider]
        past = self._journal.callbacks(job.id)
        if not job.faults.has("no_callback"):
            events = job.webhook_events[::-1] if job.faults.has("callback_order") else job.webhook_events
            for event in events:
                earlier = [call for call in past if call["event"] == event and call["kind"] == "real"]
                job, due = await self._when_due(job, style, event)
                if not due:
                    continue
                if event == FINAL:
                    await self._ring_final(job, style, [call["status"] for call in earlier])
                elif not earlier:
                    await self._send(job, style, event, "real")
        self._journal.stop_ringing(job.id)

    async def _when_due(self, job: Job, style: Style, event: str) -> tuple[Job, bool]:
        """Waits until the event is due, or never will be: the job as it is then, and which of the two."""
        late = (job.faults.number("callback_late") or 0.0) if event == FINAL else 0.0
        while True:
            at = style.due(job, event)
            if at is None:
                return job, False
            delay = at + late - time.time()
            if delay <= 0:
                return job, True
            changed = self._changed[job.id]
            with suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), None if math.isinf(delay) else delay)
            if changed.is_set():
                changed.clear()
                job = self._journal.job(job.provider, job.id) or job

    async def _ring_final(self, job: Job, style: Style, earlier: list[int | None]) -> None:
        faults = job.faults
        if faults.has("forged_callback") and not earlier:
            await self._send(job, style, FINAL, "forged")
        if not any(_accepted(status) for status in earlier):
            for delay in (0.0, *style.retry_delays_s)[len(earlier) :]:
                await asyncio.sleep(delay * self._retry_scale)
                status, sent = await self._send(job, style, FINAL, "real")
                self._rung[job.id].set()
                if _accepted(status):
                    break
            else:
                return
        else:
            sent = await style.signed(job, FINAL, time.time())
        if faults.has("duplicate_callback"):
            await self._send(job, style, FINAL, "duplicate")
        again = faults.number("replayed_callback") or (_REPLAY_AFTER_S if faults.has("replayed_callback") else None)
        if again is not None:
            await asyncio.sleep(again)
            await self._post(job, style, FINAL, "replayed", sent)

    async def _send(self, job: Job, style: Style, event: str, kind: str) -> tuple[int | None, Signed]:
        signed = await style.signed(job, event, time.time(), forged=kind == "forged")
        return await self._post(job, style, event, kind, signed), signed

    async def _post(self, job: Job, style: Style, event: str, kind: str, signed: Signed) -> int | None:
        """The status of the answer, None when there was none."""
        assert job.webhook_url is not None
        status: int | None = None
        try:
            status = await self._sender.post(job.webhook_url, signed.body, signed.headers, style.timeout_s)
        except OSError as error:
            log.info("callback_unanswered job=%s event=%s error=%s", job.id, event, type(error).__name__)
        self._journal.add_callback(job.id, event, kind, time.time(), status)
        return status


def final_due(job: Job) -> float:
    return fate(job)[1]


def _accepted(status: int | None) -> bool:
    return status is not None and 200 <= status < 300
