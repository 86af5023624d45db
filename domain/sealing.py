"""Keys derived from the root secret, and what is stored encrypted under them (AES-256-GCM).

A sealed value is one version byte, a 12-byte nonce and the ciphertext with its tag. `context` names where the value
belongs (for example its row): a value copied to another place does not open.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from domain.errors import InternalError

ROOT_CHARS_MIN = 32

_VERSION = b"\x01"
_NONCE_BYTES = 12
_SALT = b"babysea-control-plane"


def derive_key(root: str, purpose: str) -> bytes:
    """32 bytes that depend on both; knowing one purpose's key tells nothing about another's.

    Raises ValueError for a root too short to be a secret.
    """
    if len(root) < ROOT_CHARS_MIN:
        raise ValueError(f"the root secret has fewer than {ROOT_CHARS_MIN} characters")
    return HKDF(algorithm=SHA256(), length=32, salt=_SALT, info=purpose.encode()).derive(root.encode())


@dataclass(frozen=True)
class Keys:
    """One key per purpose, all derived from the root secret."""

    api_keys: bytes
    callback_tokens: bytes
    client_addresses: bytes
    file_urls: bytes
    operator_keys: bytes
    webhook_secrets: bytes

    @classmethod
    def derived_from(cls, root: str) -> Keys:
        return cls(
            api_keys=derive_key(root, "api-keys"),
            callback_tokens=derive_key(root, "callback-tokens"),
            client_addresses=derive_key(root, "client-addresses"),
            file_urls=derive_key(root, "file-urls"),
            operator_keys=derive_key(root, "operator-keys"),
            webhook_secrets=derive_key(root, "webhook-secrets"),
        )


def seal(key: bytes, plaintext: bytes, context: bytes) -> bytes:
    """Encrypt under a fresh nonce: the same plaintext never looks the same twice."""
    nonce = os.urandom(_NONCE_BYTES)
    return _VERSION + nonce + AESGCM(key).encrypt(nonce, plaintext, _VERSION + context)


def unseal(key: bytes, sealed: bytes, context: bytes) -> bytes:
    """Raises InternalError when the value was altered, belongs elsewhere or was sealed under another key."""
    version, nonce, ciphertext = sealed[:1], sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
    if version != _VERSION or len(nonce) != _NONCE_BYTES:
        raise InternalError("A stored secret has an unknown form.")
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, _VERSION + context)
    except InvalidTag as error:
        raise InternalError("A stored secret does not open.") from error
