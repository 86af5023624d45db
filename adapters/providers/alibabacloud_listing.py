"""Which of an account's tasks a lost submit may have made. Source: the vendor's client 2.0.2, read 2026-11.

The list shows every key's tasks with model and time, without their input. Only a finished task shows its prompt. So a
reference to a task that was found carries a print of the prompt, and whoever reads it to its end compares.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from adapters.providers.answers import objects_in
from domain.generation import JobRef
from domain.provider import Submission

_CLOCK_SKEW = timedelta(seconds=5)
_SUBMIT_MAX = timedelta(seconds=60)  # no submit waits longer for its answer: a later task is somebody else's
_ANSWERED_IN = timedelta(seconds=1)  # a younger task may be one whose own answer is still on its way
_NEAR_MAX = 10
_PROMPT_KEPT = 500  # characters that even the shortest limit leaves of a prompt
_PRINT = "prompt_sha256"


class Listed(NamedTuple):
    task_id: str
    created_at: datetime


def query(submission: Submission, submitted_after: datetime) -> dict[str, str]:
    """The zone of its times is not told: read as China's, the beginning is eight hours earlier, and nothing is lost."""
    start = (submitted_after - _CLOCK_SKEW).astimezone(UTC).strftime("%Y%m%d%H%M%S")
    return {"model_name": submission.native_model, "start_time": start, "page_size": "100"}


def tasks(page: Mapping[str, Any], native_model: str) -> Iterator[Listed]:
    """The tasks of one page; their times are in milliseconds."""
    for item in objects_in(page.get("data")):
        task_id, created_ms = item.get("task_id"), item.get("gmt_create")
        if not isinstance(created_ms, int) or not 0 <= created_ms < 2**43:
            continue
        if isinstance(task_id, str) and item.get("model_name") == native_model:
            yield Listed(task_id, datetime.fromtimestamp(created_ms / 1000, UTC))


def near(listed: list[Listed], submission: Submission, submitted_after: datetime, *, now: float) -> list[JobRef]:
    """Those whose time suits, the closest first; none without a prompt, because nothing would tell a task from a
    stranger's then. `now` in unix seconds."""
    prompt = submission.native_input.get("input", {}).get("prompt")
    if not isinstance(prompt, str):
        return []
    earliest = submitted_after - _CLOCK_SKEW
    latest = min(submitted_after + _SUBMIT_MAX, datetime.fromtimestamp(now, UTC) - _ANSWERED_IN)
    suiting = [task for task in listed if earliest <= task.created_at <= latest]
    suiting.sort(key=lambda task: (abs(task.created_at - submitted_after), task.task_id))
    return [JobRef(task.task_id, {_PRINT: _print_of(prompt)}) for task in suiting[:_NEAR_MAX]]


def is_of(ref: JobRef, output: Mapping[str, Any]) -> bool:
    """Whether a finished task shows the prompt that its reference expects, where it expects one."""
    expected = ref.handle.get(_PRINT)
    told = [output.get("orig_prompt"), *(item.get("orig_prompt") for item in objects_in(output.get("results")))]
    shown = {_print_of(prompt) for prompt in told if isinstance(prompt, str)}
    return expected is None or shown == {expected}


def _print_of(prompt: str) -> str:
    return hashlib.sha256(prompt.strip()[:_PROMPT_KEPT].strip().encode()).hexdigest()
