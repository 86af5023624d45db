"""What the simulated fal accepts and signs with. Fake: it opens nothing else."""

from __future__ import annotations

import base64
import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY = "00000000-0000-4000-8000-000000000001:sandboxsecret"
USER_ID = "sandbox_user_1"
SIGNING_SEED = hashlib.sha256(b"babysea sandbox: fal signing key").digest()

signing_key = Ed25519PrivateKey.from_private_bytes(SIGNING_SEED)
next_signing_key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(SIGNING_SEED).digest())


def jwks(*keys: Ed25519PrivateKey) -> dict[str, list[dict[str, str]]]:
    public = [base64.urlsafe_b64encode(key.public_key().public_bytes_raw()).decode().rstrip("=") for key in keys]
    return {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x} for x in public]}
