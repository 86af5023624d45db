"""What the routes work with, put together once at start-up by `api/app.py`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from temporalio.client import Client

from api.authentication import Authenticator
from domain.assets import ObjectStore
from domain.generation import MediaType
from domain.model import Catalog
from domain.provider import CallbackNotice
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
    objects: ObjectStore
    files: LocalFiles | None  # the same store, when artifacts are served by ourselves
    authenticator: Authenticator
    verifiers: Mapping[str, CallbackVerifier]  # by provider name
    callback_key: bytes
    available_providers: Collection[str]  # those whose credentials are configured
    deadlines: Mapping[MediaType, int]  # seconds for one attempt
    admission_wait_s: float
    file_url_ttl: timedelta
