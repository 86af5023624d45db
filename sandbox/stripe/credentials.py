"""What the simulated Stripe accepts and signs with. Fake: it opens nothing else."""

from __future__ import annotations

KEY = "sk_test_sandbox0000000000000000000000000000"
WEBHOOK_SECRET = "whsec_sandbox00000000000000000000000000"  # noqa: S105 - of every endpoint, until it is rolled
NEXT_WEBHOOK_SECRET = "whsec_sandbox11111111111111111111111111"  # noqa: S105 - after it was rolled
ACCOUNT = "acct_1sandbox00000000"
API_VERSION = "2026-10-28.endive"  # of an event whose endpoint names none: the version of the stripe package 16.1
