"""Short ways to submit to the sandbox over plain HTTP."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx

SCHNELL = "black-forest-labs/flux-schnell"
FAL_SCHNELL = "fal-ai/flux/schnell"
_LIMIT_S = 15


async def predict(http: httpx.AsyncClient, prompt: str, model: str = SCHNELL, **fields: Any) -> httpx.Response:
    """Submit to Replicate; `input` adds native parameters, other fields go to the top level of the body."""
    native_input = {"prompt": prompt} | fields.pop("input", {})
    headers = fields.pop("headers", None)
    return await http.post(f"/models/{model}/predictions", json={"input": native_input} | fields, headers=headers)


async def queue(
    http: httpx.AsyncClient, prompt: str, endpoint: str = FAL_SCHNELL, *, webhook: str | None = None, **given: Any
) -> httpx.Response:
    """Submit to fal."""
    params = {"fal_webhook": webhook} if webhook else None
    return await http.post(f"/{endpoint}", json={"prompt": prompt} | given, params=params)


async def ended(http: httpx.AsyncClient, prediction: dict[str, Any]) -> dict[str, Any]:
    """Poll a prediction until it has ended."""
    until = time.monotonic() + _LIMIT_S
    while time.monotonic() < until:
        seen: dict[str, Any] = (await http.get(prediction["urls"]["get"])).json()
        if seen["status"] not in {"starting", "processing"}:
            return seen
        await asyncio.sleep(0.02)
    raise TimeoutError("the prediction did not end")


async def completed(http: httpx.AsyncClient, queued: dict[str, Any]) -> httpx.Response:
    """Poll a fal request until it is COMPLETED, then read its result."""
    until = time.monotonic() + _LIMIT_S
    while time.monotonic() < until:
        if (await http.get(queued["status_url"])).json()["status"] == "COMPLETED":
            return await http.get(queued["response_url"])
        await asyncio.sleep(0.02)
    raise TimeoutError("the request did not complete")
