"""The fixed credentials this simulator accepts and signs with. They are fake and open nothing else."""

from __future__ import annotations

import base64
import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

REPLICATE_API_TOKEN = "r8_sandbox0000000000000000000000000000000"  # noqa: S105
REPLICATE_WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"sandbox-webhook-secret-0").decode()

FAL_KEY = "00000000-0000-4000-8000-000000000001:sandboxsecret"
FAL_USER_ID = "sandbox_user_1"
FAL_SIGNING_SEED = hashlib.sha256(b"babysea sandbox: fal signing key").digest()

replicate_webhook_key = base64.b64decode(REPLICATE_WEBHOOK_SECRET.removeprefix("whsec_"))
fal_signing_key = Ed25519PrivateKey.from_private_bytes(FAL_SIGNING_SEED)


def fal_jwks() -> dict[str, list[dict[str, str]]]:
    public = fal_signing_key.public_key().public_bytes_raw()
    return {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": base64.urlsafe_b64encode(public).decode().rstrip("=")}]}
