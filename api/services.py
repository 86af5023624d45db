"""What the routes work with, put together once at start-up by `api/app.py`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from temporalio.client import Client

from api.authentication import Authenticator
from api.breakers import Breakers
from api.input_files import InputFiles
from api.probes import Probe
from api.rate_limits import AttemptLimit
from api.remembered import RememberedNames
from api.request_log import RequestLog
from domain.addresses import AddressRules
from domain.assets import ObjectStore
from domain.billing import Payments, WebhookVerifier
from domain.generation import MediaType
from domain.limits import Counters
from domain.model import Catalog
from domain.offers import Offers
from domain.plans import Plans
from domain.provider import CallbackNotice
from domain.sealing import Keys
from store.connection import Pool


class CallbackVerifier(Protocol):
    """The part of a provider adapter that the API needs."""

    async def verify_callback(self, headers: Mapping[str, str], body: bytes) -> CallbackNotice: ...


class LocalFiles(Protocol):
    """A store that keeps artifacts in a folder and signs their addresses itself."""

    def verify(self, key: str, expires: int, signature: str, now: float) -> bool: ...

    def path(self, key: str) -> Path: ...


@dataclass(frozen=True)
class Services:
    region: str
    pool: Pool
    temporal: Client
    catalogue: Catalog
    plans: Plans
    objects: ObjectStore
    files: LocalFiles | None  # the same store, when artifacts are served by ourselves
    authenticator: Authenticator
    request_log: RequestLog
    attempts: AttemptLimit
    counters: Counters
    storage_probe: Probe
    cache_probe: Probe  # of the counters
    breakers: Breakers
    verifiers: Mapping[str, CallbackVerifier]  # by provider name
    callback_key: bytes
    keys: Keys  # one per purpose, for what operators make
    available_providers: Collection[str]  # those whose credentials are configured
    paused: RememberedNames  # providers, by the operator
    open_breakers: RememberedNames  # providers that `fastest` tries last
    deadlines: Mapping[MediaType, int]  # seconds for one attempt
    admission_wait_s: float
    addresses: AddressRules  # of input files
    input_files: InputFiles
    file_url_ttl: timedelta
    webhook_address: Callable[[str], Awaitable[None]]  # raises AddressRefused for where webhooks may not go
    start_delivery: Callable[[str], Awaitable[None]]  # of a webhook, by its id; once
    offers: Offers
    payments: Payments | None  # None: nothing is sold here
    stripe_webhooks: WebhookVerifier | None
    payment_return_url: str
    start_stripe_event: Callable[[str], Awaitable[None]]  # by its id; what runs already goes on
    retry_stripe_event: Callable[[str], Awaitable[None]]
    start_drain: Callable[[str], Awaitable[None]]  # of an endpoint's queue, by the endpoint's id
