"""The fixed key this simulator accepts. It is fake and opens nothing else."""

from __future__ import annotations

API_KEY = "00000000-0000-4000-8000-00000000a4c0"
