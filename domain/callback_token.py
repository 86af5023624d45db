"""The token in a provider's callback address: names one attempt, cannot be guessed, needs no lookup.

Unpadded base64url of generation id (16 bytes), attempt number (2 bytes) and a MAC (16 bytes) that also covers region
and provider: 46 characters. A token of another region or provider does not verify.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import uuid

from domain.errors import CallbackRefused

_ID_BYTES, _NUMBER_BYTES, _MAC_BYTES = 16, 2, 16
_TOKEN_BYTES = _ID_BYTES + _NUMBER_BYTES + _MAC_BYTES
_TOKEN_CHARS = -(-_TOKEN_BYTES * 4 // 3)


def mint(key: bytes, region: str, provider: str, generation_id: str, attempt_number: int) -> str:
    """The token of one attempt; the same attempt always has the same one."""
    generation = uuid.UUID(generation_id)
    payload = generation.bytes + attempt_number.to_bytes(_NUMBER_BYTES, "big")
    return _text(payload + _mac(key, region, provider, generation, attempt_number))


def read(key: bytes, region: str, provider: str, token: str) -> tuple[str, int]:
    """Generation id and attempt number. Raises CallbackRefused for anything that `mint` did not make for this place."""
    raw = _bytes(token)
    generation = uuid.UUID(bytes=raw[:_ID_BYTES])
    number = int.from_bytes(raw[_ID_BYTES : _ID_BYTES + _NUMBER_BYTES], "big")
    if not hmac.compare_digest(raw[-_MAC_BYTES:], _mac(key, region, provider, generation, number)):
        raise CallbackRefused("The callback token does not verify.")
    return str(generation), number


def _mac(key: bytes, region: str, provider: str, generation: uuid.UUID, number: int) -> bytes:
    message = f"callback|{region}|{provider}|{generation}|{number}"
    return hmac.new(key, message.encode(errors="backslashreplace"), hashlib.sha256).digest()[:_MAC_BYTES]


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(token: str) -> bytes:
    """Exactly one text decodes to a given token: no padding, no other alphabet, no stray bits in the last character."""
    if len(token) == _TOKEN_CHARS and token.isascii():
        try:
            raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except binascii.Error:
            raw = b""
        if len(raw) == _TOKEN_BYTES and _text(raw) == token:
            return raw
    raise CallbackRefused("The callback token is malformed.")
