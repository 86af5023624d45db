"""Where each adapter's own settings come from: the environment and `.env`, under the provider's name."""

from __future__ import annotations

from pydantic_settings import BaseSettings, SettingsConfigDict


def environment(provider: str) -> SettingsConfigDict:
    """Settings named BABYSEA_<PROVIDER>_<FIELD>."""
    return SettingsConfigDict(
        env_prefix=f"BABYSEA_{provider}_",
        env_file=".env",
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,  # it may be a secret
    )


class ProviderSettings(BaseSettings):
    """The settings of one provider. Addresses default to the real ones; a key never has a default."""
