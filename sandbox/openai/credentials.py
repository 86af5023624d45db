"""What the simulated OpenAI accepts and signs with. Fake: it opens nothing else."""

from __future__ import annotations

import base64

KEY = "sk-proj-sandbox000000000000000000000000"
WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"sandbox-openai-webhook-secret-00").decode()
NEXT_WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"sandbox-openai-webhook-secret-01").decode()  # after a rotation
