"""What the simulated Replicate accepts and signs with. Fake: it opens nothing else."""

from __future__ import annotations

import base64

API_TOKEN = "r8_sandbox0000000000000000000000000000000"  # noqa: S105
WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"sandbox-webhook-secret-0").decode()

webhook_key = base64.b64decode(WEBHOOK_SECRET.removeprefix("whsec_"))
