"""How each part shows that it serves. Every probe is one short HTTP request; OSError means: not yet."""

from __future__ import annotations

import json
import ssl
from collections.abc import Awaitable, Callable
from functools import cache

import httpx

Probe = Callable[[int], Awaitable[bool]]  # given the process id

_TIMEOUT_S = 2.0


async def get(url: str) -> httpx.Response:
    async with httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False, verify=_trusted()) as http:
        try:
            return await http.get(url)
        except httpx.HTTPError as error:
            raise OSError(f"{url}: {type(error).__name__}") from error


@cache
def _trusted() -> ssl.SSLContext:
    """Read once: every client wants one, and it costs about 50 ms of CPU."""
    return httpx.create_ssl_context(trust_env=False)


def answers(*urls: str) -> Probe:
    """Healthy when every address answers 200."""

    async def healthy(_pid: int) -> bool:
        for url in urls:
            if (await get(url)).status_code != 200:
                return False
        return True

    return healthy


def temporal_answers(ui_url: str) -> Probe:
    """Asked through the Web UI, which passes it on: the UI, the frontend and visibility all work."""
    return answers(f"{ui_url}/api/v1/namespaces/default/workflow-count")


def worker_polls(ui_url: str, task_queue: str) -> Probe:
    """Healthy when this very process (not a dead predecessor) is known to Temporal as a poller of the queue."""
    url = f"{ui_url}/api/v1/namespaces/default/task-queues/{task_queue}?taskQueueType=TASK_QUEUE_TYPE_WORKFLOW"

    async def healthy(pid: int) -> bool:
        response = await get(url)
        if response.status_code != 200:
            return False
        pollers = json.loads(response.content).get("pollers", [])
        return any(str(poller.get("identity", "")).startswith(f"{pid}@") for poller in pollers)

    return healthy
