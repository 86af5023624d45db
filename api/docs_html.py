"""Pieces of the reference page as HTML: texts, tables, and schemas as tables of their fields."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any, Literal

from api.openapi import resolved

DEPTH_MAX = 3  # of fields within fields

Schema = dict[str, Any]


def text(markdown: str) -> str:
    """Paragraphs and code, which is all that the descriptions use."""
    pieces = escape(markdown).split("`")
    marked = "".join(f"<code>{piece}</code>" if index % 2 else piece for index, piece in enumerate(pieces))
    return marked.replace("\n\n", "</p><p>")


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], ids: Sequence[str] = ()) -> str:
    """Cells are HTML already. `ids`: what a link to each row is called."""
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    named = [f' id="{escape(name)}"' for name in ids] or [""] * len(rows)
    body = "".join(
        f"<tr{name}>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for name, row in zip(named, rows, strict=True)
    )
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def fields(api: Schema, schema: Schema, mark: Literal["required", "optional"]) -> str:
    """Every field of an object, those of the objects in it set in below it. Empty for one without named fields.

    `mark`: which fields it is said of; of bodies those that must be sent, of answers those that may be absent.
    """
    rows = list(_rows(api, schema, mark, 1))
    return table(("Field", "Type", ""), rows) if rows else ""


def _rows(api: Schema, schema: Schema, mark: str, depth: int) -> Iterator[tuple[str, str, str]]:
    whole = resolved(api, schema)
    required = set(whole.get("required", []))
    for name, field in whole.get("properties", {}).items():
        marked = f"<em>{mark}</em>" if (name in required) is (mark == "required") else ""
        shown = f'<span class="in{depth}"><code>{escape(name)}</code>{marked}</span>'
        yield shown, text(kind(resolved(api, field))), text(_description(api, field))
        inner = _inner(api, field)
        if inner is not None and depth < DEPTH_MAX:
            yield from _rows(api, inner, mark, depth + 1)


def _inner(api: Schema, field: Schema) -> Schema | None:
    """The object within a field, if there is one."""
    whole = resolved(api, field)
    if whole.get("type") == "array":
        return _inner(api, whole.get("items", {}))
    if isinstance(whole.get("additionalProperties"), dict) and "properties" not in whole:
        return _inner(api, whole["additionalProperties"])
    return whole if whole.get("properties") else None


def _description(api: Schema, field: Schema) -> str:
    given: str = field.get("description") or resolved(api, field).get("description", "")
    limits = {
        name: resolved(api, field)[name]
        for name in ("minimum", "maximum", "maxLength", "maxItems", "default")
        if resolved(api, field).get(name) is not None
    }
    words = {
        "minimum": "at least",
        "maximum": "at most",
        "maxLength": "characters: at most",
        "maxItems": "items: at most",
        "default": "default:",
    }
    stated = ", ".join(f"{words[name]} `{json.dumps(value)}`" for name, value in limits.items())
    return " ".join(part for part in (given, f"({stated})" if stated else "") if part)


def kind(schema: Schema) -> str:
    """The type in a few words."""
    match schema:
        case {"anyOf": choices}:
            return " or ".join(kind(choice) for choice in choices)
        case {"enum": values}:
            return ", ".join(f"`{value}`" for value in values)
        case {"const": value}:
            return f"`{json.dumps(value)}`"
        case {"type": "array"}:
            return f"list of {kind(schema.get('items', {}))}"
        case {"additionalProperties": {} as members} if "properties" not in schema:
            return f"object of {kind(members)}"
    return "object" if "$ref" in schema else str(schema.get("type", "any"))
