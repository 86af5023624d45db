"""YAML without surprises: plain scalars mean what YAML 1.2 says, and a member given twice is an error.

PyYAML follows YAML 1.1, where an unquoted 16:9 is the number 969 and Off is false: both are words of providers. Its
parser is used, but not its constructors, which also take most of the time that a large catalogue needs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from datetime import date
from typing import Any

import yaml

_Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None, "~": None, "": None}
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]*)", re.ASCII)
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]+", re.ASCII)
_DAY = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})", re.ASCII)


def load_yaml(text: str) -> Any:
    """The one document in `text`: plain data only. Raises yaml.YAMLError, and ValueError for a day that does not
    exist."""
    parser = _Parser(text)
    following: Callable[[], Any] = parser.get_event
    try:
        following()  # the stream begins
        event = following()
        if isinstance(event, yaml.StreamEndEvent):
            return None
        value = _value(following, following())
        following()  # the document ends
        event = following()
        if not isinstance(event, yaml.StreamEndEvent):
            raise _refused(event, "there is a second document")
        return value
    finally:
        parser.dispose()


def _value(following: Callable[[], Any], event: Any) -> Any:
    if getattr(event, "tag", None) is not None or getattr(event, "anchor", None) is not None:
        raise _refused(event, "tags, anchors and aliases are not used here")
    kind = type(event)
    if kind is yaml.ScalarEvent:
        return _scalar(event.value) if event.implicit[0] else event.value
    if kind is yaml.MappingStartEvent:
        return _members(following)
    items = []
    while type(event := following()) is not yaml.SequenceEndEvent:
        items.append(_value(following, event))
    return items


def _members(following: Callable[[], Any]) -> dict[Any, Any]:
    members: dict[Any, Any] = {}
    while type(event := following()) is not yaml.MappingEndEvent:
        name = _value(following, event)
        if not isinstance(name, Hashable):
            raise _refused(event, f"{name!r} cannot name a member")
        if name in members:
            raise _refused(event, f"{name!r} is given twice")
        members[name] = _value(following, following())
    return members


def _scalar(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in "-0123456789":
        if _WHOLE.fullmatch(text):
            return int(text)
        if _DECIMAL.fullmatch(text):
            return float(text)
        if day := _DAY.fullmatch(text):
            return date(*map(int, day.groups()))
    return text


def _refused(event: Any, fault: str) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, fault, event.start_mark)
