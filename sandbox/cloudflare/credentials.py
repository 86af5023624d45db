"""What the simulated Cloudflare accepts. Fake: it opens nothing else."""

from __future__ import annotations

TOKEN = "sandbox-workers-ai-token-0000000000000000"  # noqa: S105
ACCOUNT_ID = "0123456789abcdef0123456789abcdef"
