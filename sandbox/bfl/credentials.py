"""What the simulated BFL accepts. Fake: it opens nothing else."""

from __future__ import annotations

KEY = "00000000-0000-4000-8000-000000000002"
WEBHOOK_SECRET = "sandbox-bfl-webhook-secret"  # noqa: S105 - the caller's own, sent along with each submit
