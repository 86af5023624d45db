"""What the simulated Runway accepts. Fake: it opens nothing else."""

from __future__ import annotations

KEY = "key_sandbox00000000000000000000000000000000"
VERSION = "2024-11-06"
