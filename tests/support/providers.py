"""Requests to providers and recorded answers of theirs, for the tests of the adapters."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from domain.provider import Submission

DATA = Path(__file__).parents[1] / "adapters" / "data"

A_SUBMISSION = Submission(
    attempt_id="0b6f6a2e-3f59-4a53-9a3e-7d1a53b9c0f1",
    native_model="black-forest-labs/flux-schnell",
    native_input={"prompt": "a lighthouse on a cliff at dusk", "aspect_ratio": "16:9", "num_outputs": 1},
    callback_url="https://api.example.com/v1/callbacks/replicate/token",
    deadline=timedelta(seconds=600),
)


def a_submission(**changes: Any) -> Submission:
    return replace(A_SUBMISSION, **changes)


class Recorder:
    """A transport that answers from a script and keeps what it was asked. An exception in the script is raised."""

    def __init__(self, *answers: httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]) -> None:
        self.answers, self.requests = list(answers), []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        assert self.answers, f"an unexpected request: {request.method} {request.url}"
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer(request) if callable(answer) else answer

    @property
    def last(self) -> httpx.Request:
        return self.requests[-1]

    @property
    def last_json(self) -> Any:
        return json.loads(self.last.content)


def answer(status: int = 200, body: Any = None, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if isinstance(body, str):
        return httpx.Response(status, text=body, headers=named)
    return httpx.Response(status, json=body, headers=named)


EDGE_PAGE = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
