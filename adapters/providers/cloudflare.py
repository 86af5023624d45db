"""Cloudflare Workers AI, image models, v4 API. Source: the vendor's model schemas, error list and recorded traffic,
read 2026-11.

One picture a call, in the answer: base64 in a JSON envelope or the bytes themselves, and a model may change its way.
Nothing is left to be found when that answer is lost, and no price is told. An error can come with status 200.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import httpx
from pydantic import Field, SecretStr

from adapters.providers.answers import data_url, json_object, looking, patient_post, pooled_client, retry_after
from adapters.providers.settings import ProviderSettings, environment
from domain.errors import (
    CallbackRefused,
    ContentRefused,
    InputFileTooBig,
    JobNotFound,
    ProviderAtCapacity,
    ProviderAuthFailed,
    ProviderBusy,
    ProviderCreditsExhausted,
    ProviderError,
    ProviderFailed,
    ProviderInvalidOutput,
    ProviderRejectedInput,
    ProviderTimedOut,
    ProviderUnavailable,
    SubmitAmbiguous,
)
from domain.generation import JobRef
from domain.media import media_type_of
from domain.provider import CallbackNotice, Job, JobState, Output, ProviderLimits, ReadFile, Submission, Tools

NAME = "Cloudflare"

_FORMS = "@cf/black-forest-labs/flux-2-"  # the models that take a form and no JSON


class Settings(ProviderSettings):
    model_config = environment("CLOUDFLARE")

    token: SecretStr | None = Field(None, description="Cloudflare API token with the Workers AI permission.")
    account_id: str = Field("", description="Cloudflare account id, 32 hexadecimal digits.")
    base_url: str = Field("https://api.cloudflare.com/client/v4", description="Cloudflare API address.")


def build(settings: Settings, tools: Tools) -> CloudflareProvider | None:
    """Raises ValueError for a token without an account id that can be one."""
    if not settings.token:
        return None
    if not re.fullmatch(r"[0-9a-f]{32}", settings.account_id):
        raise ValueError("BABYSEA_CLOUDFLARE_ACCOUNT_ID is not an account id: 32 hexadecimal digits")
    http = client(settings.base_url, settings.token.get_secret_value(), tools.timeout)
    return CloudflareProvider(http, account_id=settings.account_id, read_file=tools.read_file)


def client(base_url: str, credential: str, timeout: timedelta) -> httpx.AsyncClient:
    """`credential` is the API token."""
    http = pooled_client(base_url, f"Bearer {credential.strip()}", timeout)
    http.headers["Accept"] = "*/*"
    return http


class CloudflareProvider:
    name = "cloudflare"
    limits = ProviderLimits(requests_per_second=12)  # 720 text-to-image requests a minute

    def __init__(self, http: httpx.AsyncClient, *, account_id: str, read_file: ReadFile) -> None:
        self._http = http  # base address, credential and time limits are set by `client`
        self._models = f"/accounts/{account_id}/ai"
        self._read_file = read_file

    async def submit(self, submission: Submission) -> Job:
        path, body = f"{self._models}/run/{submission.native_model}", await self._wire(submission)
        response = await patient_post(self._http, NAME, path, deadline=submission.deadline, **body)
        return Job(JobRef(submission.attempt_id), JobState.SUCCEEDED, (picture(response),))

    async def read(self, ref: JobRef) -> Job:  # noqa: ARG002
        raise JobNotFound("Cloudflare keeps no pictures.")

    async def cancel(self, ref: JobRef) -> bool:  # noqa: ARG002
        return False

    async def find(self, submission: Submission, submitted_after: datetime) -> list[JobRef]:  # noqa: ARG002
        return []

    def job_named(self, job_id: str, native_model: str) -> JobRef:  # noqa: ARG002
        return JobRef(job_id)

    async def verify_callback(self, headers: Mapping[str, str], body: bytes) -> CallbackNotice:  # noqa: ARG002
        raise CallbackRefused("Cloudflare sends no callbacks.")

    async def check(self) -> None:
        with looking(NAME):
            response = await self._http.get(f"{self._models}/models/search", params={"per_page": "1"})
        if not response.is_success or (json_object(response) or {}).get("success") is not True:
            raise refusal(response)

    async def _wire(self, submission: Submission) -> dict[str, Any]:
        """The body. In a form everything is text, but for the pictures: each is read from our address of it."""
        if not submission.native_model.startswith(_FORMS):
            return {"json": dict(submission.native_input)}
        parts: dict[str, tuple[str | None, bytes] | tuple[str, bytes, str]] = {}
        for name, value in submission.native_input.items():
            if name.startswith("input_image"):
                file = await self._read_file(value)
                parts[name] = (f"{name}.{file.content_type.rpartition('/')[2]}", file.content, file.content_type)
            else:
                parts[name] = (None, str(value).encode())
        return {"files": parts}


# --- answers ------------------------------------------------------------------------------------------------------

_BY_CODE: Mapping[int, type[ProviderError]] = {
    971: ProviderBusy,
    3003: ProviderRejectedInput,  # incomplete
    3006: InputFileTooBig,
    3007: ProviderTimedOut,
    3008: ProviderTimedOut,  # aborted
    3036: ProviderCreditsExhausted,  # the free allocation of the day, until midnight UTC
    4006: ProviderCreditsExhausted,
    3040: ProviderAtCapacity,
    3042: ProviderRejectedInput,  # no such model
    5004: ProviderRejectedInput,
    5005: ProviderRejectedInput,
    5006: ProviderRejectedInput,  # not as the model's schema has it
    5007: ProviderRejectedInput,
    5019: ProviderRejectedInput,  # a deprecated model
    8007: ContentRefused,
    **dict.fromkeys((9106, 10000, 10001), ProviderAuthFailed),
    **dict.fromkeys((3023, 3041, 5016, 5018, 5035), ProviderAuthFailed),  # account, model, licence or region
    7003: ProviderAuthFailed,  # no such account
}
_FLAGGED = 3030  # by its text: the picture was flagged, or the model could not use the input

_BY_STATUS: Mapping[int, type[ProviderError]] = {
    200: ProviderFailed,
    401: ProviderAuthFailed,
    403: ProviderAuthFailed,
    408: ProviderTimedOut,
    413: InputFileTooBig,
    429: ProviderBusy,
    502: ProviderUnavailable,
    503: ProviderUnavailable,
    504: ProviderTimedOut,
}

_SAYS: Mapping[type[ProviderError], str] = {
    ContentRefused: "A safety filter refused the input or the output.",
    InputFileTooBig: "The input files have more bytes than Cloudflare takes.",
    ProviderAuthFailed: "Cloudflare refuses the token or the account id, or the account may not use this model.",
    ProviderCreditsExhausted: "The day's free allocation of the Cloudflare account is used up.",
    ProviderAtCapacity: "Cloudflare has no capacity for this model at the moment.",
}


def picture(response: httpx.Response) -> Output:
    """What the picture's first bytes say counts more than the content type; else it is in an envelope.

    Raises the ProviderError that any other answer stands for.
    """
    kind = media_type_of(response.content[:16])
    if response.is_success and kind is not None:
        return Output(f"data:{kind};base64,{base64.b64encode(response.content).decode()}")
    body, status = json_object(response), response.status_code
    if status in (502, 504) or (status >= 500 and (body is None or "errors" not in body)):
        raise SubmitAmbiguous(f"The edge of Cloudflare answered a submit with {status}.")
    if not response.is_success or (body is not None and body.get("success") is not True):
        raise refusal(response)
    result = (body or {}).get("result")
    encoded = result.get("image") if isinstance(result, dict) else None
    if not isinstance(encoded, str) or not encoded:
        raise ProviderInvalidOutput("Cloudflare answered without a picture.")
    return Output(data_url(encoded))


def refusal(response: httpx.Response) -> ProviderError:
    """What an explicit error answer means: the first of its codes that is known decides, else the status."""
    status = response.status_code
    listed = (json_object(response) or {}).get("errors")
    told = [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    known = (error for item in told if (error := _error_of(item)) is not None)
    error = next(known, None) or _BY_STATUS.get(status, ProviderFailed if status >= 500 else ProviderRejectedInput)
    return error(
        _SAYS.get(error, f"Cloudflare answered with {status}."),
        details={"codes": [item["code"] for item in told if type(item.get("code")) is int][:10]},
        retry_after=retry_after(response.headers) if status in (429, 503) else None,
    )


def _error_of(told: Mapping[str, Any]) -> type[ProviderError] | None:
    if told.get("code") != _FLAGGED:
        return _BY_CODE.get(told["code"]) if type(told.get("code")) is int else None
    text = str(told.get("message")).lower()
    return ContentRefused if "flagged" in text or "nsfw" in text else ProviderRejectedInput
