"""The signature of fal's callbacks: Ed25519 over request id, user id, time and body digest, against published keys."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from domain.errors import CallbackRefused

TOLERANCE_S = 300
KEYS_LIFE_S = 24 * 3600
REFETCH_PAUSE_S = 60  # forged callbacks must not make us hammer the key server
KEYS_MAX = 16

_HEADER = "x-fal-webhook-"


class KeySet:
    """The published keys, kept for a day. A signature that none of them made has them fetched again, once a minute."""

    def __init__(self, fetch: Callable[[], Awaitable[Any]], clock: Callable[[], float]) -> None:
        """`fetch` returns the JWKS document, or None when it cannot be had."""
        self._fetch, self._clock = fetch, clock
        self._keys: list[Ed25519PublicKey] = []
        self._version, self._expires, self._next_fetch = 0, float("-inf"), float("-inf")
        self._lock = asyncio.Lock()

    async def made(self, signature: bytes, message: bytes) -> bool:
        """Whether one of the keys signed `message`."""
        version = self._version
        if self._clock() < self._expires and self._any_verifies(signature, message):
            return True
        return await self._fetched_since(version) and self._any_verifies(signature, message)

    async def _fetched_since(self, version: int) -> bool:
        """Whether there are newer keys than `version`, after asking for them where that is allowed now."""
        async with self._lock:
            now = self._clock()
            if self._version == version and now >= self._next_fetch:
                self._next_fetch = now + REFETCH_PAUSE_S
                document = await self._fetch()
                if document is not None:
                    self._keys = keys_of(document)
                    self._version, self._expires = version + 1, now + KEYS_LIFE_S
            return self._version != version and now < self._expires

    def _any_verifies(self, signature: bytes, message: bytes) -> bool:
        return any(_verifies(key, signature, message) for key in self._keys)


async def verified(keys: KeySet, headers: Mapping[str, str], body: bytes, *, now: float) -> str:
    """The request id that header and body agree on. Raises CallbackRefused."""
    request_id, user_id, timestamp, signature = (
        headers.get(_HEADER + name, "") for name in ("request-id", "user-id", "timestamp", "signature")
    )
    if not request_id or not user_id or not re.fullmatch(r"[0-9]{1,12}", timestamp):
        raise CallbackRefused("The callback is not signed.")
    if not re.fullmatch(r"[0-9a-fA-F]{128}", signature):
        raise CallbackRefused("The callback's signature is malformed.")
    if abs(now - int(timestamp)) > TOLERANCE_S:
        raise CallbackRefused("The callback is too old, or from the future.")
    digest = hashlib.sha256(body).hexdigest()
    message = "\n".join((request_id, user_id, timestamp, digest)).encode(errors="replace")
    if not await keys.made(bytes.fromhex(signature), message):
        raise CallbackRefused("The callback's signature does not verify.")
    if _request_id(body) != request_id:
        raise CallbackRefused("The callback speaks of another request than its header.")
    return request_id


def keys_of(document: Any) -> list[Ed25519PublicKey]:
    """The Ed25519 keys of a JWKS document; entries of other kinds are skipped."""
    entries = document.get("keys") if isinstance(document, dict) else None
    found = []
    for entry in entries[:KEYS_MAX] if isinstance(entries, list) else ():
        if isinstance(entry, dict) and entry.get("kty") == "OKP" and entry.get("crv") == "Ed25519":
            raw = _unpadded(entry.get("x"))
            if len(raw) == 32:
                found.append(Ed25519PublicKey.from_public_bytes(raw))
    return found


def _unpadded(text: object) -> bytes:
    if not isinstance(text, str):
        return b""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars="-_", validate=True)
    except (binascii.Error, ValueError):
        return b""


def _verifies(key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _request_id(body: bytes) -> object:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document.get("request_id") if isinstance(document, dict) else None
