"""Results of a synchronous call, kept in the job's reference: the journal holds it, so a crash loses nothing."""

from __future__ import annotations

from collections.abc import Sequence

from domain.generation import JobRef
from domain.provider import Job, JobState, Output

_COST = "cost_microcredits"


def with_outputs(job_id: str, urls: Sequence[str], cost_microcredits: int | None) -> Job:
    """A finished job whose outputs are addresses. One that is the file itself (`data:`) is not kept: whoever submitted
    stores such outputs at once."""
    outputs = tuple(map(Output, urls))
    if any(output.inline for output in outputs):
        return Job(JobRef(job_id), JobState.SUCCEEDED, outputs, cost_microcredits=cost_microcredits)
    handle = {f"output.{index}": url for index, url in enumerate(urls)}
    if cost_microcredits is not None:
        handle[_COST] = str(cost_microcredits)
    return _job(JobRef(job_id, handle))


def kept(ref: JobRef) -> Job | None:
    """The job that a reference holds complete; None: the provider must be asked."""
    return _job(ref) if "output.0" in ref.handle else None


def _job(ref: JobRef) -> Job:
    count = sum(name.startswith("output.") for name in ref.handle)
    outputs = tuple(Output(ref.handle[f"output.{index}"]) for index in range(count))
    cost = ref.handle.get(_COST)
    return Job(ref, JobState.SUCCEEDED, outputs, cost_microcredits=None if cost is None else int(cost))
