"""What the demo plays. Directives in the prompts script the simulated providers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Scene:
    """One generation and how it is meant to go."""

    title: str
    media_type: str
    model: str
    body: dict[str, Any]
    provider: str  # that must have delivered
    attempts_min: int = 1


SCENES = (
    Scene(
        title="failover",
        media_type="image",
        model="bfl/flux-schnell",
        body={
            "generation_prompt": "a lighthouse in a storm [sandbox:replicate=job_failed]",
            "generation_provider_order": "replicate, fal",
        },
        provider="fal",
        attempts_min=2,
    ),
    Scene(
        title="callback",
        media_type="image",
        model="bfl/flux-schnell",
        body={
            "generation_prompt": "a harbour at dawn, seen from the pier",
            "generation_provider_order": "replicate, fal",
        },
        provider="replicate",
    ),
    Scene(
        title="polled video",
        media_type="video",
        model="pixverse/v5",
        body={
            "generation_prompt": "waves rolling onto a beach [sandbox:replicate=latency_5]",
            "generation_provider_order": "replicate, fal",
            "generation_duration": 5,
            "generation_resolution": "360p",
        },
        provider="replicate",
    ),
)
