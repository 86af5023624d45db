"""Every provider there is an adapter for. A new one is its module here, beside a catalogue entry and a simulator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from adapters.providers import alibabacloud, bfl, byteplus, cloudflare, fal, openai, replicate, runway
from adapters.providers.settings import ProviderSettings
from domain.provider import Provider, ProviderLimits, Tools


class Build(Protocol):
    def __call__(self, settings: Any, tools: Tools) -> Provider | None:
        """The adapter, or None without a key. Raises ValueError for a setting that cannot be right."""


@dataclass(frozen=True)
class Kind:
    """One adapter: what it must be told, how it is made, and what its provider publishes of itself."""

    settings: type[ProviderSettings]
    build: Build
    limits: ProviderLimits


KINDS: Mapping[str, Kind] = {
    "alibabacloud": Kind(alibabacloud.Settings, alibabacloud.build, alibabacloud.AlibabaCloudProvider.limits),
    "bfl": Kind(bfl.Settings, bfl.build, bfl.BflProvider.limits),
    "byteplus": Kind(byteplus.Settings, byteplus.build, byteplus.ByteplusProvider.limits),
    "cloudflare": Kind(cloudflare.Settings, cloudflare.build, cloudflare.CloudflareProvider.limits),
    "fal": Kind(fal.Settings, fal.build, fal.FalProvider.limits),
    "openai": Kind(openai.Settings, openai.build, openai.OpenAIProvider.limits),
    "replicate": Kind(replicate.Settings, replicate.build, replicate.ReplicateProvider.limits),
    "runway": Kind(runway.Settings, runway.build, runway.RunwayProvider.limits),
}


def read_settings() -> dict[str, ProviderSettings]:
    """What the environment says of each provider."""
    return {name: kind.settings() for name, kind in KINDS.items()}


def settings_from(environment: Mapping[str, str]) -> dict[str, ProviderSettings]:
    """The same from these variables, without an `.env` file."""
    found: dict[str, ProviderSettings] = {}
    for name, kind in KINDS.items():
        variables = {field: f"BABYSEA_{name.upper()}_{field.upper()}" for field in kind.settings.model_fields}
        said = {field: environment[variable] for field, variable in variables.items() if variable in environment}
        found[name] = kind.settings(_env_file=None, **said)  # type: ignore[call-arg]
    return found


def available(settings: Mapping[str, ProviderSettings], tools: Tools) -> dict[str, Provider]:
    """The providers that have a key. The others are unavailable and are never routed to."""
    built = {name: KINDS[name].build(said, tools) for name, said in settings.items()}
    return {name: provider for name, provider in built.items() if provider is not None}
