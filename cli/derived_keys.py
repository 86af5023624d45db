"""The two derived keys that the command line needs, without loading the adapters that `composition` loads.

A test compares them with those of `composition`.
"""

from __future__ import annotations

from domain.sealing import derive_key
from settings import Settings


def api_keys(settings: Settings) -> bytes:
    return derive_key(settings.secret_key.get_secret_value(), "api-keys")


def webhook_secrets(settings: Settings) -> bytes:
    return derive_key(settings.secret_key.get_secret_value(), "webhook-secrets")
