"""The models that one simulated provider knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.parameters import Model
from sandbox.validation import Violation, violations


@dataclass(frozen=True)
class Models:
    """By native name. A provider that hosts whatever its users upload has a guess for the others."""

    known: Mapping[str, Model]
    guess: Callable[[str], Model] | None = None

    def of(self, name: str) -> Model:
        """Raises KeyError for a model that this provider does not have."""
        known = self.known.get(name)
        if known is None and self.guess is not None:
            return self.guess(name)
        return known if known is not None else self.known[name]

    def lists(self, name: str) -> bool:
        return name in self.known

    def violations(self, name: str, given: Mapping[str, Any]) -> list[Violation]:
        """What is wrong with an input; nothing is known of guessed models."""
        known = self.known.get(name)
        return [] if known is None else violations(known, given)


_VIDEO_WORDS = (
    "video",
    "veo",
    "kling",
    "hailuo",
    "seedance",
    "pixverse",
    "sora",
    "vidu",
    "ray-",
    "ltx",
    "-t2v",
    "-i2v",
)


def guessing(*, image: Model, video: Model) -> Callable[[str], Model]:
    """A guess by name, for models that nobody described."""
    return lambda name: video if any(word in name for word in _VIDEO_WORDS) else image
