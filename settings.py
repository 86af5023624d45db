"""One frozen Settings, read once at each entry point (`worker.py`, `api/app.py`, the command line).

Every name is an environment variable with the prefix BABYSEA_; `.env.example` lists them all. Secrets have no default.
Those of a provider stand with its adapter.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from adapters.providers.registry import KINDS, read_settings
from adapters.providers.settings import ProviderSettings

SECRET_KEY_CHARS_MIN = 32
FILE_URL_TTL_MAX_S = 7 * 24 * 3600  # what S3 signs at most; no plan keeps files for longer

# Each of these waits lies inside a limit of the code, which needs the rest for its own steps; a test compares them.
ADMISSION_TIMEOUT_BELOW_S = 25  # the published client waits 30 s; giving up takes up to 5 s of it
SUBMIT_TIMEOUT_BELOW_S = 50  # a submit step may take 60 s, with its journal before and after
WEBHOOK_TIMEOUT_BELOW_S = 20  # a delivery step may take 30 s, with its records before and after


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="BABYSEA_",
        env_file=".env",
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,  # it may be a secret
    )

    # who and where
    region: str = Field("us", description="Region of this deployment; keys and callbacks of another region fail.")
    secret_key: SecretStr = Field(description="Root secret, at least 32 characters; every other key derives from it.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="debug, info, warning or error."
    )

    # records
    database_url: SecretStr = Field(description="PostgreSQL 15 or newer, as a libpq URL.")
    database_pool_max: int = Field(10, gt=0, description="Connections per process.")

    # engine
    temporal_address: str = Field("127.0.0.1:7233", description="host:port of the Temporal frontend.")
    temporal_namespace: str = Field("default", description="Temporal namespace.")
    temporal_api_key: SecretStr | None = Field(None, description="For Temporal Cloud; switches TLS on.")
    temporal_payload_key: SecretStr | None = Field(
        None, description="Base64 of 32 bytes. When set, workflow payloads are encrypted (AES-256-GCM)."
    )

    # HTTP
    api_host: str = Field("127.0.0.1", description="Address the API binds to.")
    api_port: int = Field(8080, description="Port the API binds to.")
    public_url: str = Field(
        "http://127.0.0.1:8080",
        description="How providers and customers reach the API: callbacks, file addresses. https, but for loopback.",
    )
    trusted_proxies: str = Field(
        "", description="Comma-separated addresses and CIDR blocks whose X-Forwarded-For is believed."
    )

    # plans and their limits
    plans_file: Path | None = Field(
        None, description="YAML file with plans of your own, in place of the built-in ones."
    )
    prices_file: Path | None = Field(
        None, description="YAML file with prices of your own, which hold in place of the built-in ones."
    )
    packs_file: Path | None = Field(
        None, description="YAML file with credit packs, subscriptions and currencies of your own."
    )
    counters_url: SecretStr | None = Field(
        None, description="redis://... of the Valkey or Redis in which several API processes count requests together."
    )

    # payments: without a key nothing is sold here
    stripe_key: SecretStr | None = Field(None, description="Stripe secret or restricted key: sk_..., rk_...")
    stripe_webhook_secrets: SecretStr | None = Field(
        None, description="whsec_... of the Stripe webhook endpoint; two, separated by a comma, while one is rotated."
    )
    stripe_base_url: str = Field("https://api.stripe.com", description="Stripe API address.")
    stripe_livemode: bool = Field(False, description="Whether payments are real; events of the other mode are parked.")
    stripe_account: str | None = Field(
        None, description="acct_... whose Connect events are taken; without it only events of our own account are."
    )
    stripe_return_url: str | None = Field(
        None, description="Where customers go after a page of Stripe's; the public address by default."
    )

    # artifacts
    storage_path: Path | None = Field(None, description="Folder for artifacts, when no bucket is set.")
    storage_bucket: str | None = Field(None, description="S3 bucket; takes precedence over the folder.")
    storage_endpoint: str | None = Field(None, description="S3 endpoint, for stores other than AWS.")
    storage_access_key: str | None = Field(None, description="S3 access key; absent: the usual AWS sources.")
    storage_secret_key: SecretStr | None = Field(None, description="S3 secret key.")
    storage_region: str = Field("us-east-1", description="S3 region name.")
    file_url_ttl_s: int = Field(
        FILE_URL_TTL_MAX_S,
        gt=0,
        le=FILE_URL_TTL_MAX_S,
        description="Seconds for which an address of an artifact is valid while its file is kept; at most a week.",
    )

    # providers: a provider without its key is unavailable
    providers: dict[str, ProviderSettings] = Field(default_factory=read_settings, description="By provider.")
    private_hosts: str = Field(
        "",
        description="Comma-separated host:port pairs that may be fetched although they are not public: the sandbox,"
        " or a server of your own.",
    )

    provider_rate_share: float = Field(
        1.0, gt=0, description="Share of a provider's published request rate that this deployment may use."
    )

    # routing
    breakers_reorder: bool = Field(
        True, description="Try providers whose circuit breaker is open last, where the request leaves the order to us."
    )

    # time limits, in seconds
    image_deadline_s: int = Field(600, gt=0, description="Longest life of one attempt at an image.")
    video_deadline_s: int = Field(1800, gt=0, description="Longest life of one attempt at a video.")
    image_callback_grace_s: float = Field(20, ge=0, description="Wait for an image's callback before polling begins.")
    video_callback_grace_s: float = Field(120, ge=0, description="Wait for a video's callback before polling begins.")
    poll_interval_s: float = Field(2, gt=0, description="First pause between looks at a job; grows to ten times this.")
    submit_timeout_s: float = Field(
        10, gt=0, lt=SUBMIT_TIMEOUT_BELOW_S, description="One submit request at a provider; below 50."
    )
    adoption_window_s: float = Field(30, gt=0, description="How long a job behind an ambiguous submit is looked for.")
    admission_timeout_s: float = Field(
        15,
        gt=0,
        lt=ADMISSION_TIMEOUT_BELOW_S,
        description="How long the API waits for a generation to be admitted; below 25.",
    )
    webhook_timeout_s: float = Field(
        10, gt=0, lt=WEBHOOK_TIMEOUT_BELOW_S, description="One webhook request to a customer; below 20."
    )
    webhook_private_addresses: bool = Field(False, description="Allow webhooks to private addresses. Development only.")

    # the ledger's proof
    ledger_full_verification_h: float = Field(
        24, gt=0, description="Hours after which the hourly verification of the ledger reads everything again."
    )

    # observation
    metrics_port: int | None = Field(None, description="Port on 127.0.0.1 where the worker serves Prometheus metrics.")

    @field_validator("trusted_proxies")
    @classmethod
    def _addresses(cls, proxies: str) -> str:
        for part in filter(None, map(str.strip, proxies.split(","))):
            ipaddress.ip_network(part, strict=False)  # raises ValueError in words that name it
        return proxies

    @field_validator("public_url")
    @classmethod
    def _without_slash(cls, url: str) -> str:
        return url.rstrip("/")

    @field_validator("secret_key")
    @classmethod
    def _long_enough(cls, key: SecretStr) -> SecretStr:
        if len(key.get_secret_value()) < SECRET_KEY_CHARS_MIN:
            raise ValueError(
                f"it has {len(key.get_secret_value())} characters and needs at least {SECRET_KEY_CHARS_MIN}; "
                "`openssl rand -base64 48` makes one"
            )
        return key


def by_environment_name() -> dict[str, FieldInfo]:
    """Every setting, by the name of its environment variable."""
    shapes: dict[str, type[BaseSettings]] = {
        "": Settings,
        **{f"{name.upper()}_": kind.settings for name, kind in KINDS.items()},
    }
    return {
        f"BABYSEA_{prefix}{name.upper()}": field
        for prefix, shape in shapes.items()
        for name, field in shape.model_fields.items()
        if name != "providers"
    }
