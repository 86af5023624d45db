"""What HTTP itself can do to a request to a provider, before the provider's own words count."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from adapters.tls import trusted
from domain.errors import ProviderInvalidOutput, ProviderUnavailable, SubmitAmbiguous
from domain.media import media_type_of

RETRY_AFTER_MAX = timedelta(hours=1)
_NUMBER_MAX = 10**10  # of seconds, and of cents
ANSWER_BYTES_MAX = 128 * 2**20  # several large pictures in base64

_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


def pooled_client(
    base_url: str, authorization: str | None, timeout: timedelta, more_headers: Mapping[str, str] | None = None
) -> httpx.AsyncClient:
    """One client for the life of the process. It follows no redirect, because that would repeat a POST or carry the
    credential elsewhere, and reads no proxy from the environment.

    Raises ValueError for a credential that would be refused while it is sent: that error would show it."""
    seconds = timeout.total_seconds()
    credential = {"Authorization": authorization} if authorization is not None else {}
    for value in (*credential.values(), *(more_headers or {}).values()):
        if not value.isascii() or not value.isprintable():
            raise ValueError(f"the credential for {base_url} has characters that no HTTP header can carry")
    return httpx.AsyncClient(
        base_url=base_url,
        headers={**credential, "Accept": "application/json", "Accept-Encoding": "identity", **(more_headers or {})},
        timeout=httpx.Timeout(seconds, connect=min(seconds, 5)),
        # idle connections are given up before the far side does so: a POST into a closing one would be ambiguous
        limits=httpx.Limits(max_connections=100, max_keepalive_connections=50, keepalive_expiry=10),
        follow_redirects=False,
        trust_env=False,
        verify=trusted(),
    )


def base_of(http: httpx.AsyncClient) -> str:
    """What every address begins with to which the client's credential may go. The slash ends the host."""
    return str(http.base_url).rstrip("/") + "/"


@contextmanager
def submitting(provider: str) -> Iterator[None]:
    """Around a POST: certainly not sent is ProviderUnavailable, every other loss of the answer is SubmitAmbiguous."""
    try:
        yield
    except _NEVER_SENT as error:
        raise ProviderUnavailable(f"{provider} could not be reached.") from error
    except httpx.RequestError as error:
        raise SubmitAmbiguous(f"The answer of {provider} to a submit was lost.") from error


async def patient_post(
    http: httpx.AsyncClient, provider: str, path: str, *, deadline: timedelta, **body: Any
) -> httpx.Response:
    """The whole answer to a POST that is given when the job has ended, with the outputs in it; until the deadline.

    Raises as `submitting` does, and ProviderInvalidOutput for more than ANSWER_BYTES_MAX.
    """
    limit, content = deadline.total_seconds(), bytearray()
    timeout = httpx.Timeout(limit, connect=http.timeout.connect, pool=http.timeout.pool)
    with submitting(provider):
        try:
            async with asyncio.timeout(limit), http.stream("POST", path, timeout=timeout, **body) as response:
                async for piece in response.aiter_bytes():
                    content += piece
                    if len(content) > ANSWER_BYTES_MAX:
                        raise ProviderInvalidOutput(f"{provider} answered with more than we take.")
        except TimeoutError as error:
            raise SubmitAmbiguous(f"{provider} did not answer a submit before its deadline.") from error
    decoded = [(name, value) for name, value in response.headers.items() if name != "content-encoding"]
    return httpx.Response(response.status_code, headers=decoded, content=bytes(content))


def data_url(encoded: str) -> str:
    """The address of a picture that came as base64. Its type is read from its first bytes."""
    try:
        kind = media_type_of(base64.b64decode(encoded[:24], validate=True))
    except (binascii.Error, ValueError):
        kind = None
    return f"data:{kind or 'application/octet-stream'};base64,{encoded}"


@contextmanager
def looking(provider: str) -> Iterator[None]:
    """Around a request that may be repeated."""
    try:
        yield
    except httpx.RequestError as error:
        raise ProviderUnavailable(f"{provider} did not answer.") from error


def json_object(response: httpx.Response) -> dict[str, Any] | None:
    """The body, when it is a JSON object; pages of an edge are not."""
    return object_in(response.content)


def object_in(content: bytes) -> dict[str, Any] | None:
    """The JSON object that these bytes are."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def objects_in(items: object) -> list[dict[str, Any]]:
    """The objects of a list; nothing of what is no list."""
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """The pause that `Retry-After` asks for, in seconds or as a date; at most an hour."""
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value):
        pause = timedelta(seconds=float(value))
    else:
        try:
            pause = parsedate_to_datetime(value) - datetime.now(UTC)
        except (ValueError, TypeError):
            return None
    return min(max(pause, timedelta(0)), RETRY_AFTER_MAX)


def moment(value: object) -> datetime | None:
    """An ISO 8601 time with its zone."""
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return at if at is not None and at.tzinfo is not None else None


def seconds(value: object) -> float | None:
    """A duration as JSON gives it; a number beyond all reason is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _NUMBER_MAX:
        return None
    return float(value)


def microcredits_from_cents(value: object) -> int | None:
    """An amount in US cents as JSON gives it: BFL and Runway call a cent a credit."""
    cents = seconds(value)
    return round(cents * 10_000) if cents is not None else None


def field_names(names: Iterable[object]) -> dict[str, list[str]]:
    """Details that name the parameters complained about: names only, values may be a customer's."""
    clean = [name for name in names if isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9_.]{1,64}", name)]
    return {"fields": clean[:10]} if clean else {}
