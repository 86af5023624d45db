"""What each simulated provider is to the rest of the simulator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.routing import BaseRoute

from sandbox.callbacks import Bell, Style
from sandbox.files import Gallery
from sandbox.journal import Journal
from sandbox.models import Models
from sandbox.submissions import Desk
from sandbox.validation import Violation


@dataclass(frozen=True)
class Parts:
    """What a provider's routes are made of."""

    journal: Journal
    desk: Desk
    bell: Bell
    gallery: Gallery
    retention_s: float  # how long finished jobs are kept


def as_given(native_input: Mapping[str, Any]) -> Mapping[str, Any]:
    return native_input


@dataclass(frozen=True)
class Simulated:
    name: str
    title: str
    addresses: tuple[str, ...]  # the paths under which it is reached, for the front page
    models: Models
    routes: Callable[[Parts], Sequence[BaseRoute]]
    # (native model, endpoint, native input as our catalogue compiles it): what the provider would refuse
    violations: Callable[[str, str, Mapping[str, Any]], list[Violation]]
    style: Callable[[Gallery, float], Style] | None = None  # how it rings: (gallery, retention in seconds)
    files_live_s: float | None = None  # None: as long as finished jobs are kept
    # a job's input in the words that `sandbox/sizes.py` reads: flat, with names like aspect_ratio, size, duration
    flat: Callable[[Mapping[str, Any]], Mapping[str, Any]] = as_given
