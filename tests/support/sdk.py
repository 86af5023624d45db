"""A client that behaves as the published one does: its headers, its retries, its waiting, its reading of answers.

Written after sections 1, 2.4, 5.2, 8 and 9 of the contract. Where this client is content, the published one is.
"""

from __future__ import annotations

import asyncio
import math
import random
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import httpx

MAX_RETRIES = 2
TIMEOUT_S = 30.0
WAIT_TIMEOUT_S, WAIT_INTERVAL_S, WAIT_INTERVAL_MIN_S = 600.0, 2.0, 0.5
SDK_HEADERS = {
    "Accept": "application/json",
    "X-BabySea-SDK-Name": "babysea-node",
    "X-BabySea-SDK-Version": "1.4.6",
    "X-BabySea-SDK-Runtime": "node",
    "X-BabySea-SDK-Runtime-Version": "20.11.1",
    "User-Agent": "babysea-node/1.4.6 (node/20.11.1)",
}

Answer = dict[str, Any]


class ApiError(Exception):
    """An answer that is not 2xx. `retry_after_s` is None wherever the published client would not believe it."""

    def __init__(self, response: httpx.Response) -> None:
        try:
            body = response.json()
        except ValueError:
            body = {"error": {"message": f"HTTP {response.status_code}", "retryable": response.status_code >= 500}}
        error = body.get("error", {})
        self.status = response.status_code
        self.request_id: str | None = body.get("request_id")
        self.code: str = error.get("code", f"HTTP_{response.status_code}")
        self.type: str = error.get("type", "api_error")
        self.details: dict[str, Any] | None = error.get("details")
        self.provider_errors: list[dict[str, Any]] | None = error.get("provider_errors")
        flag = error.get("retryable")
        self.retryable = flag if isinstance(flag, bool) else self.status == 429 or self.status >= 500
        self.retry_after_s = _retry_after(response.headers)
        super().__init__(error.get("message", f"HTTP {response.status_code}"))


class GenerationFailed(Exception):
    """The wait ended with a generation that failed or was canceled."""

    def __init__(self, generation: Mapping[str, Any]) -> None:
        super().__init__(generation.get("generation_error") or generation["generation_status"])
        self.code = generation.get("generation_error_code")
        self.generation = generation


class BabySea:
    """`pause` replaces every sleep, so that tests need not wait; `pauses` keeps what was asked of it."""

    def __init__(
        self,
        api_key: str,
        *,
        base_url: str,
        http: httpx.AsyncClient,
        max_retries: int = MAX_RETRIES,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._key, self._base_url, self._http = api_key, base_url.rstrip("/"), http
        self._attempts_max, self._pause = max_retries + 1, pause
        self.pauses: list[float] = []

    # --- account and library ------------------------------------------------------------------------------------

    async def status(self) -> Answer:
        return await self._request("GET", "/v1/status")

    async def usage(self, days: int | None = None) -> Answer:
        return await self._request("GET", f"/v1/usage{_query(days=days)}")

    async def account(self) -> Answer:
        return await self._request("GET", "/v1/user/account")

    async def billing(self) -> Answer:
        return await self._request("GET", "/v1/user/billing")

    async def estimate(self, model: str, **options: Any) -> Answer:
        return await self._request("GET", f"/v1/estimate/{model}{_query(**options)}")

    async def library(self, what: str) -> Answer:
        return await self._request("GET", f"/v1/library/{what}")

    async def health(self, what: str) -> Answer:
        """`what`: inference/providers, inference/models, storage or cache."""
        return await self._request("GET", f"/v1/health/{what}")

    # --- generations --------------------------------------------------------------------------------------------

    async def generate(self, model: str, params: Mapping[str, Any], *, idempotency_key: str | None = None) -> Answer:
        kind = "video" if params.get("generation_duration") is not None else "image"
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return await self._request("POST", f"/v1/generate/{kind}/{model}", params, headers)

    async def get(self, generation_id: str) -> Answer:
        return await self._request("GET", f"/v1/content/{generation_id}")

    async def list(self, *, limit: int | None = None, offset: int | None = None) -> Answer:
        return await self._request("GET", f"/v1/content/list{_query(limit=limit, offset=offset)}")

    async def cancel(self, generation_id: str) -> Answer:
        return await self._request("POST", f"/v1/content/generation/cancel/{generation_id}")

    async def delete(self, generation_id: str) -> Answer:
        return await self._request("DELETE", f"/v1/content/{generation_id}")

    async def wait(
        self, generation_id: str, *, timeout_s: float = WAIT_TIMEOUT_S, interval_s: float = WAIT_INTERVAL_S
    ) -> Answer:
        """Read at once, then every interval. Raises GenerationFailed, TimeoutError."""
        interval_s = max(WAIT_INTERVAL_MIN_S, interval_s)
        deadline = time.monotonic() + timeout_s
        while True:
            answer = await self.get(generation_id)
            status = answer["data"].get("generation_status")
            if status == "succeeded":
                return answer
            if status in {"failed", "canceled"}:
                raise GenerationFailed(answer["data"])
            if time.monotonic() + interval_s >= deadline:
                raise TimeoutError(generation_id)
            await self._sleep(interval_s)

    async def generate_and_wait(self, model: str, params: Mapping[str, Any], **options: Any) -> Answer:
        created = await self.generate(model, params)
        if "generation_status" in created["data"]:  # the short form: canceled before the create was answered
            return await self.get(created["data"]["generation_id"])
        return await self.wait(created["data"]["generation_id"], **options)

    # --- HTTP ---------------------------------------------------------------------------------------------------

    async def _request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Repeats what says that it may be repeated, POST included. Lost connections only where that is safe."""
        safe = method in {"GET", "DELETE"} or "Idempotency-Key" in (headers or {})
        for attempt in range(1, self._attempts_max + 1):
            last = attempt == self._attempts_max
            try:
                return await self._once(method, path, body, headers or {})
            except ApiError as error:
                if last or not error.retryable:
                    raise
                await self._sleep(error.retry_after_s or _backoff_s(attempt))
            except httpx.TimeoutException:
                raise
            except httpx.TransportError:
                if last or not safe:
                    raise
                await self._sleep(_backoff_s(attempt))
        raise AssertionError

    async def _once(self, method: str, path: str, body: Mapping[str, Any] | None, extra: Mapping[str, str]) -> Answer:
        request = httpx.Request(
            method,
            f"{self._base_url}{path}",  # the model's slash is not escaped
            headers={"Authorization": f"Bearer {self._key}", **SDK_HEADERS, **extra},
            json=body if body else None,
            extensions={"timeout": httpx.Timeout(TIMEOUT_S).as_dict()},
        )
        response = await self._http.send(request)
        if not response.is_success:
            raise ApiError(response)
        answer: Answer = response.json()  # on every success, a delete included
        if response.headers.get("Idempotency-Replayed") == "true":
            answer["idempotency_replayed"] = True
        return answer

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await self._pause(seconds)


def _retry_after(headers: httpx.Headers) -> float | None:
    """Whole seconds, believed only beside a rate limit. A date is no number, and 0 is as good as nothing."""
    if not headers.get("X-RateLimit-Limit"):
        return None
    leading = re.match(r"\s*[0-9]+", headers.get("Retry-After", ""))
    return float(leading[0]) if leading and float(leading[0]) else None


def _backoff_s(attempt: int) -> float:
    return math.floor(random.random() * min(1000 * 2 ** (attempt - 1), 30_000)) / 1000


def _query(**options: Any) -> str:
    given = {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in options.items()
        if value is not None
    }
    return f"?{urlencode(given)}" if given else ""
