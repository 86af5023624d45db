"""The public API as the command line uses it. Patient: what a restart of any part interrupts is asked again."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx

from cli.errors import CommandFailed, Refused

PAUSE_S = 0.25
PAUSE_MAX_S = 2.0
REQUEST_TIMEOUT_S = 30.0


class ApiClient:
    """One key's view of the API. Repeats are safe: reading changes nothing, writing carries an Idempotency-Key."""

    def __init__(
        self,
        base_url: str,
        key: str,
        *,
        patience_s: float = 30.0,
        pause_s: float = PAUSE_S,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = httpx.AsyncClient(
            transport=transport,
            base_url=base_url,
            headers={"authorization": f"Bearer {key}"},
            timeout=REQUEST_TIMEOUT_S,
            trust_env=False,
        )
        self._patience_s = patience_s
        self._pause_s = pause_s

    async def __aenter__(self) -> ApiClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def generate(self, media_type: str, model: str, body: dict[str, Any], idempotency_key: str) -> str:
        """Start a generation, once however often this is repeated. Answers its id."""
        answer = await self._json(
            "POST", f"/v1/generate/{media_type}/{model}", json=body, headers={"idempotency-key": idempotency_key}
        )
        return str(answer["data"]["generation_id"])

    async def cancel(self, generation_id: str) -> None:
        """Raises Refused when it has ended."""
        await self._json("POST", f"/v1/content/generation/cancel/{generation_id}")

    async def content(self, generation_id: str) -> dict[str, Any]:
        answer = await self._json("GET", f"/v1/content/{generation_id}")
        data: dict[str, Any] = answer["data"]
        return data

    async def ended(self, generation_id: str, *, within_s: float) -> dict[str, Any]:
        """The record once it is terminal. Raises CommandFailed when that takes longer than `within_s`."""
        deadline = time.monotonic() + within_s
        while True:
            record = await self.content(generation_id)
            if record["generation_status"] in {"succeeded", "failed", "canceled"}:
                return record
            if time.monotonic() > deadline:
                raise CommandFailed(
                    f"Generation {generation_id} is still {record['generation_status']} after {within_s:.0f} s. "
                    f"It goes on by itself; look at it with: babysea show {generation_id}"
                )
            await asyncio.sleep(self._pause_s)

    async def models(self) -> list[dict[str, Any]]:
        answer = await self._json("GET", "/v1/library/models")
        models: list[dict[str, Any]] = answer["data"]["models"]
        return models

    async def download(self, url: str) -> bytes:
        response = await self._patiently("GET", url)
        if response.status_code != 200:
            raise CommandFailed(f"The artifact cannot be downloaded: HTTP {response.status_code}")
        return response.content

    async def _json(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        response = await self._patiently(method, path, **request)
        try:
            answer: dict[str, Any] = response.json()
        except ValueError:
            raise CommandFailed(f"{method} {path} answered HTTP {response.status_code} without JSON.") from None
        if response.is_success:
            return answer
        raise Refused(answer.get("error", {}))

    async def _patiently(self, method: str, url: str, **request: Any) -> httpx.Response:
        """Raises CommandFailed when nothing answers for as long as the patience lasts."""
        deadline = time.monotonic() + self._patience_s
        pause = self._pause_s
        while True:
            try:
                response = await self._http.request(method, url, **request)
            except httpx.TransportError as error:
                why = type(error).__name__
                if time.monotonic() > deadline:
                    raise CommandFailed(f"The API at {self._http.base_url} does not answer ({why}).") from error
            else:
                if not _worth_repeating(response) or time.monotonic() > deadline:
                    return response
            await asyncio.sleep(pause)
            pause = min(pause * 2, PAUSE_MAX_S)


def _worth_repeating(response: httpx.Response) -> bool:
    """Our own trouble, or the API says so itself."""
    if response.is_success:
        return False
    if response.status_code >= 500:
        return True
    try:
        return response.json()["error"]["retryable"] is True
    except (ValueError, KeyError, TypeError):
        return False
