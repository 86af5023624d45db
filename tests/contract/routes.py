"""Every route of the contract's section 10, with a request that reaches it and the scope that it needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx

AN_ID = "2d6b8f0e-94a1-4f0c-8a57-0c3e6b1d9f22"


@dataclass(frozen=True)
class Route:
    section: str
    method: str
    template: str
    path: str
    scope: str

    @property
    def name(self) -> str:
        return f"{self.method} {self.template}"

    async def ask(self, http: httpx.AsyncClient, headers: dict[str, str]) -> httpx.Response:
        """A request that is well formed, about something that does not exist."""
        body: dict[str, Any] = {"json": {}} if self.scope == "generation:write" else {}
        return await http.request(self.method, self.path, headers=headers, **body)


ROUTES = [
    Route("10.1", "GET", "/v1/status", "/v1/status", "account:read"),
    Route("10.2", "GET", "/v1/usage", "/v1/usage", "account:read"),
    Route("10.3", "GET", "/v1/user/account", "/v1/user/account", "account:read"),
    Route("10.4", "GET", "/v1/user/billing", "/v1/user/billing", "account:read"),
    Route("10.5", "GET", "/v1/estimate/{model_identifier}", "/v1/estimate/bfl/flux-schnell", "library:read"),
    Route(
        "10.6",
        "POST",
        "/v1/generate/image/{model_identifier}",
        "/v1/generate/image/bfl/flux-schnell",
        "generation:write",
    ),
    Route(
        "10.6", "POST", "/v1/generate/video/{model_identifier}", "/v1/generate/video/pixverse/v5", "generation:write"
    ),
    Route("10.7", "GET", "/v1/content/{generation_id}", f"/v1/content/{AN_ID}", "generation:read"),
    Route("10.8", "GET", "/v1/content/list", "/v1/content/list", "generation:read"),
    Route(
        "10.9",
        "POST",
        "/v1/content/generation/cancel/{generation_id}",
        f"/v1/content/generation/cancel/{AN_ID}",
        "generation:delete",
    ),
    Route("10.10", "DELETE", "/v1/content/{generation_id}", f"/v1/content/{AN_ID}", "generation:delete"),
    Route("10.11", "GET", "/v1/library/providers", "/v1/library/providers", "library:read"),
    Route("10.12", "GET", "/v1/library/models", "/v1/library/models", "library:read"),
    Route("10.13", "GET", "/v1/health/inference/providers", "/v1/health/inference/providers", "health:read"),
    Route("10.14", "GET", "/v1/health/inference/models", "/v1/health/inference/models", "health:read"),
    Route("10.15", "GET", "/v1/health/storage", "/v1/health/storage", "health:read"),
    Route("10.15", "GET", "/v1/health/cache", "/v1/health/cache", "health:read"),
]
