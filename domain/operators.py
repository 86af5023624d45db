"""Operator keys: how one is made and recognised. They open the operator API and nothing else, as API keys open /v1."""

from __future__ import annotations

import base64
import re

from domain.keys import DISPLAY_PREFIX_LENGTH, RANDOM_BYTES, MintedKey, key_hash

OPERATOR_KEY_PREFIX = "byo_"
_WELL_FORMED = re.compile(r"byo_[A-Za-z0-9_-]{16,128}\Z")


def mint_operator_key(pepper: bytes, random: bytes) -> MintedKey:
    """Make a key from 32 random bytes."""
    assert len(random) == RANDOM_BYTES
    secret = OPERATOR_KEY_PREFIX + base64.urlsafe_b64encode(random).rstrip(b"=").decode()
    return MintedKey(secret=secret, prefix=secret[:DISPLAY_PREFIX_LENGTH], key_hash=key_hash(pepper, secret))


def is_operator_key(secret: str) -> bool:
    """Whether this could be one at all; anything else needs no look-up."""
    return _WELL_FORMED.match(secret) is not None
