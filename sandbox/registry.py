"""Every simulated provider. A new one is its package here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox import alibabacloud, bfl, byteplus, cloudflare, fal, openai, replicate, runway
from sandbox.parameters import Model
from sandbox.simulated import Simulated
from sandbox.validation import Violation

SIMULATED: Mapping[str, Simulated] = {
    one.name: one
    for one in (
        alibabacloud.SIMULATED,
        bfl.SIMULATED,
        byteplus.SIMULATED,
        cloudflare.SIMULATED,
        fal.SIMULATED,
        openai.SIMULATED,
        replicate.SIMULATED,
        runway.SIMULATED,
    )
}


def model_of(provider: str, endpoint: str) -> Model:
    """Raises KeyError."""
    return SIMULATED[provider].models.of(endpoint)


def accepts(provider: str, native_model: str, endpoint: str, native_input: Mapping[str, Any]) -> list[Violation]:
    """What this provider would refuse of a native request; empty: it would take it.

    Raises KeyError for a provider or model that is not simulated: then nothing can be said.
    """
    simulated = SIMULATED.get(provider)
    if simulated is None:
        raise KeyError(f"{provider} is not simulated: make sandbox/{provider}/ and add it to sandbox/registry.py")
    if not simulated.models.lists(native_model.partition(":")[0]):  # Replicate's may carry a version
        raise KeyError(f"{provider} does not know {native_model}: describe it in sandbox/{provider}/")
    return simulated.violations(native_model, endpoint, native_input)
