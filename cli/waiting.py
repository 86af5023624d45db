"""How long a command waits for the end of a generation."""

from __future__ import annotations


def longest_life_s(deadline_s: int, *, candidates: int) -> float:
    """As long as its hold lives: `deadline_s` for each candidate, and the margin for everything around them."""
    from store.generations import HOLD_MARGIN_S

    return deadline_s * candidates + HOLD_MARGIN_S
