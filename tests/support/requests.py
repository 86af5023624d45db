"""Builders of the records that travel, with only the fact under test spelled out."""

from __future__ import annotations

import time
import uuid
from typing import Any

from domain.generation import Candidate, Delivery, GenerationRequest, MediaType

ACCOUNT_ID = "5a1e0b7c-3c1d-4e52-9f0a-b6c2d4e8f013"


def a_candidate(provider: str = "replicate", **changes: Any) -> Candidate:
    facts: dict[str, Any] = {
        "provider": provider,
        "native_model": "black-forest-labs/flux-schnell" if provider == "replicate" else "fal-ai/flux/schnell",
        "native_input": {"prompt": "a harbour at dawn"},
        "delivery": Delivery.CALLBACK,
        "cost_microcredits": 3_000,
        "mapping_version": "1",
    }
    return Candidate(**(facts | changes))


def a_synchronous_request(**changes: Any) -> GenerationRequest:
    """The first candidate answers with the outputs, the second by callback."""
    at_once = a_candidate("replicate", delivery=Delivery.SYNCHRONOUS)
    return a_request(candidates=[at_once, a_candidate("fal")], **changes)


def a_request(*providers: str, **changes: Any) -> GenerationRequest:
    facts: dict[str, Any] = {
        "generation_id": str(uuid.uuid4()),
        "account_id": ACCOUNT_ID,
        "region": "us",
        "model": "bfl/flux-schnell",
        "media_type": MediaType.IMAGE,
        "params": {"generation_prompt": "a harbour at dawn", "generation_output_number": 1},
        "output_count": 1,
        "output_format": "png",
        "quote_microcredits": 5_000,
        "price_version": "2026-11",
        "candidates": [a_candidate(provider) for provider in providers or ("replicate", "fal")],
        "deadline_s": 600,
        "admit_by": time.time() + 3600,
    }
    return GenerationRequest(**(facts | changes))
