"""Where a request of fal is read and canceled: at the addresses it returned, which drop part of the model's path."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from domain.generation import JobRef

_ENDINGS = {"status_url": "/status", "response_url": "", "cancel_url": "/cancel"}


def ref_of(body: Mapping[str, Any], native_model: str, queue_url: str) -> JobRef:
    """The addresses as returned. Where one leads away from the queue, all are rebuilt: the job is not lost for it."""
    handle = {name: str(body.get(name)) for name in _ENDINGS}
    if all(address.startswith(queue_url) for address in handle.values()):
        return JobRef(body["request_id"], handle)
    return rebuilt(body["request_id"], native_model, queue_url)


def rebuilt(request_id: str, native_model: str, queue_url: str) -> JobRef:
    """The first two segments of the model, but three in the namespaces of workflows, and the request id."""
    segments = native_model.split("/")
    short = "/".join(segments[: 3 if segments[0] in ("workflows", "comfy") else 2])
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", request_id):
        return JobRef(request_id)
    return JobRef(
        request_id,
        {name: f"{queue_url}{short}/requests/{request_id}{ending}" for name, ending in _ENDINGS.items()},
    )
