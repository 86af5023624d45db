"""The port that every provider adapter implements, in our words only.

An adapter translates; it decides nothing: no retries, no prices, no fallback. It raises the `ProviderError` family
of `domain/errors.py` and nothing else for what the provider did.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from domain.generation import JobRef


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"  # a job that failed is not a state: reading it raises a ProviderError


@dataclass(frozen=True)
class Submission:
    """One request to one provider. `callback_url` carries our token; without one the job is only polled."""

    attempt_id: str
    native_model: str
    native_input: Mapping[str, Any]
    callback_url: str | None
    deadline: timedelta  # how long the provider may take; sent along where the provider has such a setting
    endpoint: str = ""  # the path or kind of call, from the catalogue, where the model's name does not tell it


@dataclass(frozen=True)
class Output:
    """A file at the provider. Temporary: providers delete within the hour. `url` may be a `data:` URL."""

    url: str
    content_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # to fetch it with: may hold the credential

    @property
    def inline(self) -> bool:
        """Whether the file is in the answer itself and nowhere else."""
        return self.url[:5].lower() == "data:"


@dataclass(frozen=True)
class Job:
    """A provider's job as last seen."""

    ref: JobRef
    state: JobState
    outputs: tuple[Output, ...] = ()
    cost_microcredits: int | None = None  # what the provider says it charged; None: silent
    predict_time_s: float | None = None


@dataclass(frozen=True)
class CallbackNotice:
    """A callback whose signature verified. `event_id` is equal for repeats of the same call."""

    event_id: str
    job_id: str | None  # the job it speaks of, where the signature covers the body


@dataclass(frozen=True)
class ProviderLimits:
    """What the provider publishes of itself."""

    requests_per_second: float | None  # kept on the server's side, by the provider's task queue; None: not published


@dataclass(frozen=True)
class InputFile:
    """A customer's file, for a provider that wants the bytes and not an address."""

    content: bytes
    content_type: str  # as sniffed: image/png, image/jpeg, image/webp, video/mp4


# Reads the file at one of our own addresses. Raises ProviderRejectedInput: our copy is our fault, and another provider
# may read it.
ReadFile = Callable[[str], Awaitable[InputFile]]


@dataclass(frozen=True)
class Tools:
    """What every adapter is built with, beside its own settings."""

    timeout: timedelta  # of one request; a synchronous submit has its deadline instead
    read_file: ReadFile


class Provider(Protocol):
    """One inference provider."""

    name: str
    limits: ProviderLimits

    async def submit(self, submission: Submission) -> Job:
        """Ask for one job, once. Never repeats the request by itself. Of a synchronous provider the job has ended: its
        outputs are `data:` URLs, or addresses that the reference's handle keeps for `read`.

        Raises SubmitAmbiguous when the request may have been accepted and the answer was lost; any other
        ProviderError means that no job exists.
        """

    async def read(self, ref: JobRef) -> Job:
        """Look at the job. Raises ProviderError when it failed (ContentRefused when refused), JobNotFound when the
        provider does not know it, ProviderUnavailable / ProviderBusy when this look itself did not work."""

    async def cancel(self, ref: JobRef) -> bool:
        """Tell the provider to stop. True when it was told; the job may still finish."""

    async def find(self, submission: Submission, submitted_after: datetime) -> list[JobRef]:
        """The jobs that an ambiguous submit may have left behind, the likeliest first; empty: none (yet). Another
        attempt with the same input may own one of them: whoever adopts must claim it."""

    def job_named(self, job_id: str, native_model: str) -> JobRef:
        """The job that a callback named by its id alone."""

    async def verify_callback(self, headers: Mapping[str, str], body: bytes) -> CallbackNotice:
        """Check the provider's own signature over the raw body. Header names are lower case.

        Raises CallbackRefused.
        """

    async def check(self) -> None:
        """The cheapest call that needs the credential and costs nothing.

        Raises ProviderError (ProviderAuthFailed for a wrong key) with a sentence that says what is wrong.
        """
