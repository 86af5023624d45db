"""YAML without surprises: plain scalars mean what YAML 1.2 says, and a member given twice is an error.

PyYAML follows YAML 1.1, where an unquoted 16:9 is the number 969 and Off is false: both are words of providers.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import yaml

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"


class _Loader(_Base):  # type: ignore[misc]
    """Plain data only, as the safe loader it extends."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own mechanism
        start: [(tag, pattern) for tag, pattern in resolvers if tag in {f"{_TAG}null", f"{_TAG}timestamp"}]
        for start, resolvers in _Base.yaml_implicit_resolvers.items()
    }


def _mapping(loader: Any, node: Any) -> dict[Any, Any]:
    members: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, Hashable) or key in members:
            fault = "is given twice" if isinstance(key, Hashable) else "cannot name a member"
            raise yaml.constructor.ConstructorError(None, None, f"{key!r} {fault}", key_node.start_mark)
        members[key] = loader.construct_object(value_node, deep=True)
    return members


_Loader.add_constructor(f"{_TAG}map", _mapping)
_Loader.add_implicit_resolver(f"{_TAG}bool", re.compile(r"(?:true|false)\Z"), ["t", "f"])
_Loader.add_implicit_resolver(f"{_TAG}int", re.compile(r"-?(?:0|[1-9][0-9]*)\Z"), list("-0123456789"))
_Loader.add_implicit_resolver(f"{_TAG}float", re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]+\Z"), list("-0123456789"))


def load_yaml(text: str) -> Any:
    """Raises yaml.YAMLError, and ValueError for a day that does not exist."""
    return yaml.load(text, Loader=_Loader)  # noqa: S506 - a subclass of the safe loader
