"""Which providers this deployment has a key for: by the running embedded stack, or by the settings that are here.

Needs no running system: a command that only reads asks nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
from pydantic import ValidationError

from adapters.providers import registry
from adapters.providers.registry import KINDS
from adapters.providers.settings import ProviderSettings
from cli.deployment import SettingsRefused, find
from cli.errors import CommandFailed
from domain.provider import InputFile, Provider, Tools


@dataclass(frozen=True)
class Configured:
    """One provider as it is configured here: neither a provider nor a problem means that it has no key."""

    provider: Provider | None
    problem: str | None  # a setting of it that cannot be right


def providers(data: Path, *, timeout: timedelta = timedelta(seconds=10)) -> dict[str, Configured]:
    """Every provider that there is an adapter for. Raises CommandFailed for settings that cannot be read."""
    tools = Tools(timeout=timeout, read_file=_no_files)
    return {name: _configured(name, said, tools) for name, said in _settings(data).items()}


def names(data: Path) -> frozenset[str]:
    """Those that new generations can be sent to, unless they are paused."""
    return frozenset(name for name, found in providers(data).items() if found.provider is not None)


def variables_of(name: str) -> list[str]:
    """The settings that a provider cannot do without."""
    needed = [field for field, facts in KINDS[name].settings.model_fields.items() if not facts.default]
    return [f"BABYSEA_{name.upper()}_{field.upper()}" for field in needed if "webhook" not in field]


def _settings(data: Path) -> Mapping[str, ProviderSettings]:
    try:
        return find(data).settings.providers
    except SettingsRefused:  # of a whole system: the providers' own are settings by themselves
        pass
    try:
        return registry.read_settings()
    except ValidationError as error:
        raise CommandFailed(f"The settings of the providers cannot be read: {error}") from None


def _configured(name: str, settings: ProviderSettings, tools: Tools) -> Configured:
    try:
        return Configured(KINDS[name].build(settings, tools), problem=None)
    except (ValueError, httpx.InvalidURL) as wrong:
        return Configured(None, problem=str(wrong))


async def _no_files(address: str) -> InputFile:
    raise AssertionError(f"nothing is generated here, so {address} is not read")
