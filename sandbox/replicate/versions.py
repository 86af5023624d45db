"""Replicate's version ids: which model each belongs to, and which models cannot be run without one."""

from __future__ import annotations

import hashlib

from sandbox.replicate.models import MODELS

COMMUNITY = {name: model.community for name, model in MODELS.known.items() if model.community}


def versions_of(name: str) -> tuple[str, ...]:
    """The version ids of a known model; an official one has a single version of our making."""
    return COMMUNITY.get(name) or (hashlib.sha256(name.encode()).hexdigest(),)


_OWNERS = {version: name for name in MODELS.known for version in versions_of(name)}


def version_owner(version: str) -> str | None:
    """The known model a version id belongs to."""
    return _OWNERS.get(version)
