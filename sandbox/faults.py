"""Faults on demand: the words, and how a prompt or the control API asks for them.

In a prompt: `[sandbox:replicate=submit_500]` or `[sandbox:replicate=latency_3,duplicate_callback;fal=job_failed]`; only
the part of the provider addressed counts. A word may end in a number where the table says so (`latency_0.5`), and in
`x<k>` to act on the first k submits of that prompt only (`submit_429_retry_1x1`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

PROVIDERS = ("alibabacloud", "bfl", "byteplus", "cloudflare", "fal", "openai", "replicate", "runway")

WORDS: Mapping[str, str] = {
    # the submit is refused: no job
    "submit_401": "the credentials are refused",
    "submit_402": "out of credit (fal says 403, exhausted balance)",
    "submit_404": "the model does not exist",
    "submit_422": "the input is refused at submit",
    "submit_429": "throttled, with Retry-After 1",
    "submit_429_retry_N": "throttled, with Retry-After N",
    "submit_429_bare": "throttled, without Retry-After",
    "submit_500": "an error of the provider",
    "submit_502": "an HTML page of the edge",
    "submit_503": "no capacity",
    "input_refused": "moderation of the input (BytePlus: 400 InputTextSensitiveContentDetected)",
    "spend_cap": "a spending limit of ours (BytePlus: 429 SetLimitExceeded)",
    "reset_before": "the connection is reset; no job",
    "billing_limit": "out of credit in other words (OpenAI: 400 billing_hard_limit_reached)",
    "retired_model": "the model was shut down (OpenAI: 400; Cloudflare: 405)",
    "bad_version": "the pinned version does not exist any more (Replicate: 422)",
    "low_credit": "throttled because the account is nearly out of credit (Replicate: 429)",
    "not_entitled": "the account may not use the model (OpenAI, Cloudflare: 403)",
    "gone": "the whole endpoint was shut down (OpenAI: 410)",
    "overloaded_text": "a text of the edge instead of an error document (OpenAI: 503)",
    # the submit is accepted, its answer is lost
    "reset_after": "the job exists; the connection is reset",
    "hang_after": "the job exists; the answer never comes",
    # how the job ends
    "job_failed": "fails with a text that nobody knows (fal: 500)",
    "job_failed_e6716": "did not start in time (fal: 504 startup_timeout)",
    "job_failed_e1000": "unknown error (fal: 500 internal_server_error)",
    "job_failed_e1001": "out of memory, by code (fal: 500 runner_server_error)",
    "job_failed_e4875": "an empty webhook address (Replicate)",
    "job_failed_e8765": "a health check failed (Replicate)",
    "job_failed_e9243": "could not be started (Replicate)",
    "job_failed_e9825": "the output could not be uploaded (Replicate)",
    "job_failed_oom": "CUDA out of memory (fal: 500 internal_server_error)",
    "job_failed_interrupted": "interrupted, please retry (fal: 503 runner_disconnected)",
    "job_failed_timeout": "took too long (fal: 504 generation_timeout)",
    "job_failed_downstream": "a partner refused (fal: 400 downstream_service_error)",
    "job_invalid": "accepted, then ends as an invalid input (Alibaba Cloud: FAILED, InvalidParameter)",
    "job_lost": "accepted, then unknown (Alibaba Cloud: UNKNOWN)",
    "content_refused": "moderation: Replicate E005, fal 422 content_policy_violation",
    "content_refused_nsfw": "the older wording: NSFW content detected (fal: 422 no_media_generated)",
    "refused_with_200": "moderation that looks like a success (Cloudflare: 200 with success false)",
    "content_refused_image": "moderation of an input image (Runway: SAFETY.INPUT.IMAGE)",
    "content_refused_early": "moderation before the model (Runway: INPUT_PREPROCESSING.SAFETY.TEXT)",
    "content_refused_partner": "moderation by a partner (Runway: INPUT_PREPROCESSING.SAFETY.THIRD_PARTY)",
    "job_failed_asset": "an input file cannot be used (Runway: ASSET.INVALID; fal: 422 image_load_error)",
    "throttled": "waits for a place among the account's tasks (Runway: THROTTLED)",
    "black_image": "a black image; fal flags it in has_nsfw_concepts",
    "never_starts": "stays queued until it is canceled or its deadline passes",
    "never_ends": "runs until it is canceled or its deadline passes",
    "ignores_cancel": "a cancel is accepted, the job ends as if it had not been (never_ends then ends after it)",
    "latency_N": "takes N seconds in all, whatever the latency scale",
    # callbacks
    "no_callback": "no callback is sent",
    "duplicate_callback": "the final callback is sent twice",
    "callback_first": "the job ends at once and its callbacks are sent before the submit is answered",
    "callback_order": "the final callback comes before the earlier ones (Replicate)",
    "callback_new_key": "signed with a key that is published from now on (fal)",
    "callback_without_payload": "the final callback does not carry the result (fal: payload null, payload_error)",
    "callback_other_form": "the final callback has another form and no signature (BFL: task_id, SUCCESS)",
    "forged_callback": "a wrongly signed callback comes before the real final one",
    "replayed_callback": "the final callback is repeated byte for byte a second later",
    "replayed_callback_N": "the same, N seconds later",
    "callback_late_N": "the final callback is sent N seconds after the end",
    # outputs
    "output_expired": "the file answers 404",
    "output_truncated": "the file ends in the middle",
    "output_cut": "the connection is reset in the middle of the file",
    "output_wrong_type": "an HTML page under the content type of the media",
    "output_empty": "a file of no bytes",
    "output_none": "the job succeeds without any output",
    "output_partial": "the last of several outputs failed (Alibaba Cloud: a code in its place)",
    "partly_refused": "the last of several outputs is refused by moderation (BytePlus: an error in its place)",
    "other_shape": "the output comes in the model's other form (Cloudflare: bytes for an envelope, and the reverse)",
    "output_data_url": "the output is a data: URL",
    "output_private": "the output URL points to a link-local address",
    # looking at the job
    "poll_500": "the first look at the job fails with 500",
    "poll_500_N": "the first N looks fail with 500",
    "looks_limited": "looks and cancels are throttled above the account's 20 a second (Alibaba Cloud: 429)",
}

_NUMBER = r"\d+(?:\.\d+)?"
_WORD = re.compile(r"(?P<name>[a-z0-9_.]+?)(?:x(?P<times>\d+))?$")
_DIRECTIVE = re.compile(r"\[sandbox:([^\]]*)\]")


class UnknownFaultError(ValueError):
    """A directive that this simulator does not understand."""


@dataclass(frozen=True, slots=True)
class Fault:
    name: str  # as in WORDS
    number: float | None = None
    times: int | None = None  # acts on the first `times` submits of a prompt only


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """The faults that act on one submit and on the job it makes."""

    words: tuple[str, ...] = ()

    def has(self, name: str) -> bool:
        return bool(self.words) and any(parse(word).name == name for word in self.words)

    def number(self, name: str) -> float | None:
        """The N of `name_N`, where that fault acts."""
        return next((fault.number for fault in map(parse, self.words) if fault.name == f"{name}_N"), None)

    def first(self, prefix: str) -> Fault | None:
        return next((fault for fault in map(parse, self.words) if fault.name.startswith(prefix)), None)

    @property
    def failing_polls(self) -> int:
        """How many looks at the job fail."""
        return int(self.number("poll_500") or self.has("poll_500"))


NO_FAULTS = FaultPlan()


@lru_cache(maxsize=1024)
def parse(word: str) -> Fault:
    """Raises UnknownFaultError."""
    if word in WORDS and not word.endswith("_N"):
        return Fault(word)
    if match := _WORD.match(word):
        name, times = match["name"], int(match["times"]) if match["times"] else None
        if name in WORDS and not name.endswith("_N"):
            return Fault(name, None, times)
        stem, _, number = name.rpartition("_")
        if f"{stem}_N" in WORDS and re.fullmatch(_NUMBER, number):
            return Fault(f"{stem}_N", float(number), times)
    raise UnknownFaultError(f"unknown fault: {word!r}")


def directed(prompt: str, provider: str) -> list[str]:
    """The words a prompt addresses to a provider. Raises UnknownFaultError, also for a part that is not addressed."""
    if "[sandbox:" not in prompt:
        return []
    words: list[str] = []
    for body in _DIRECTIVE.findall(prompt):
        for part in filter(None, (piece.strip() for piece in body.split(";"))):
            name, equals, listed = part.partition("=")
            if name.strip() not in PROVIDERS or not equals:
                raise UnknownFaultError(f"not <provider>=<fault>,...: {part!r}; providers: {', '.join(PROVIDERS)}")
            named = checked(word.strip() for word in listed.split(","))
            if name.strip() == provider:
                words += named
    return words


def checked(words: Iterable[str]) -> list[str]:
    """Raises UnknownFaultError."""
    listed = list(words)
    for word in listed:
        parse(word)
    return listed


def plan(words: Iterable[str], submit_number: int) -> FaultPlan:
    """The faults that act on the `submit_number`-th submit of a prompt, counted from 1."""
    acting = tuple(word for word in words if (times := parse(word).times) is None or submit_number <= times)
    return FaultPlan(acting) if acting else NO_FAULTS
