"""Every provider there is an adapter for. A new one is its module here, beside a catalogue entry and a simulator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from adapters.providers import alibabacloud, bfl, byteplus, cloudflare, fal, openai, replicate, runway
from adapters.providers.settings import ProviderSettings
from domain.provider import Provider, Tools


class Build(Protocol):
    def __call__(self, settings: Any, tools: Tools) -> Provider | None:
        """The adapter, or None without a key. Raises ValueError for a setting that cannot be right."""


@dataclass(frozen=True)
class Kind:
    """One adapter: what it must be told, and how it is made."""

    settings: type[ProviderSettings]
    build: Build


KINDS: Mapping[str, Kind] = {
    "alibabacloud": Kind(alibabacloud.Settings, alibabacloud.build),
    "bfl": Kind(bfl.Settings, bfl.build),
    "byteplus": Kind(byteplus.Settings, byteplus.build),
    "cloudflare": Kind(cloudflare.Settings, cloudflare.build),
    "fal": Kind(fal.Settings, fal.build),
    "openai": Kind(openai.Settings, openai.build),
    "replicate": Kind(replicate.Settings, replicate.build),
    "runway": Kind(runway.Settings, runway.build),
}


def read_settings() -> dict[str, ProviderSettings]:
    """What the environment says of each provider."""
    return {name: kind.settings() for name, kind in KINDS.items()}


def available(settings: Mapping[str, ProviderSettings], tools: Tools) -> dict[str, Provider]:
    """The providers that have a key. The others are unavailable and are never routed to."""
    built = {name: KINDS[name].build(said, tools) for name, said in settings.items()}
    return {name: provider for name, provider in built.items() if provider is not None}
