"""What the simulated Alibaba Cloud accepts. Fake: it opens nothing else."""

from __future__ import annotations

KEY = "sk-sandbox00000000000000000000000000"
