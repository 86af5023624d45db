"""Named statements from `store/queries/*.sql`: a statement begins after its `-- name: ...` line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def load(file: str) -> Mapping[str, bytes]:
    """The statements of one file by name, as the bytes psycopg takes. A duplicate name is a programming error."""
    text = resources.files("store").joinpath("queries", f"{file}.sql").read_text("utf-8")
    _, *parts = _NAME.split(text)
    names, bodies = parts[::2], parts[1::2]
    assert len(set(names)) == len(names), f"{file}.sql names a statement twice"
    return MappingProxyType({name: body.strip().encode() for name, body in zip(names, bodies, strict=True)})
