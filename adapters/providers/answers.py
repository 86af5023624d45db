"""What HTTP itself can do to a request to a provider, before the provider's own words count."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from domain.errors import ProviderUnavailable, SubmitAmbiguous

RETRY_AFTER_MAX = timedelta(hours=1)

_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


def pooled_client(
    base_url: str, authorization: str | None, timeout: timedelta, more_headers: Mapping[str, str] | None = None
) -> httpx.AsyncClient:
    """One client for the life of the process. It follows no redirect, because that would repeat a POST or carry the
    credential elsewhere, and reads no proxy from the environment."""
    seconds = timeout.total_seconds()
    credential = {"Authorization": authorization} if authorization is not None else {}
    return httpx.AsyncClient(
        base_url=base_url,
        headers={**credential, "Accept": "application/json", "Accept-Encoding": "identity", **(more_headers or {})},
        timeout=httpx.Timeout(seconds, connect=min(seconds, 5)),
        # idle connections are given up before the far side does so: a POST into a closing one would be ambiguous
        limits=httpx.Limits(max_connections=100, max_keepalive_connections=50, keepalive_expiry=10),
        follow_redirects=False,
        trust_env=False,
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
    except httpx.TransportError as error:
        raise SubmitAmbiguous(f"The answer of {provider} to a submit was lost.") from error


@contextmanager
def looking(provider: str) -> Iterator[None]:
    """Around a request that may be repeated."""
    try:
        yield
    except httpx.TransportError as error:
        raise ProviderUnavailable(f"{provider} did not answer.") from error


def json_object(response: httpx.Response) -> dict[str, Any] | None:
    """The body, when it is a JSON object; pages of an edge are not."""
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


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
    """A duration as JSON gives it."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
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
