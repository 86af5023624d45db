"""How a generation was decided and how its outputs deviate, as lines to read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Document = dict[str, Any]

_REASONS = {
    "unavailable": "there is no key for it here",
    "paused": "it is paused",
    "retired": "it does not offer the model any more",
}


def decision_lines(decision: Document | None) -> Iterator[str]:
    """Who was passed over and why; then a table: what became of each field at each candidate."""
    if decision is None:
        return
    for skipped in decision["skipped"]:
        yield f"skipped {skipped['provider']}: {_reason(skipped)}"
    for provider in decision["demoted"]:
        yield f"{provider} is tried last: its circuit breaker is open"
    candidates = decision["candidates"]
    names = dict.fromkeys(name for one in candidates for part in ("used", "mapped", "implied") for name in one[part])
    rows = [["field", *(one["provider"] for one in candidates)]]
    for name in names:
        said = f"{name} (by default)" if name in decision["defaulted"] else name
        rows.append([said, *(_fate(name, one) for one in candidates)])
    rows.append(["mapping", *(one["mapping_version"] for one in candidates)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def deviation_lines(deviations: list[Document]) -> Iterator[str]:
    for one in deviations:
        where = "the outputs" if one["output"] is None else f"output {one['output']}"
        yield f"deviates: {one['measure']} of {where}: {one['delivered']}, not {one['asked']}"


def _reason(skipped: Document) -> str:
    if skipped["reason"] in _REASONS:
        return _REASONS[skipped["reason"]]
    value = "" if skipped["value"] is None else f" {skipped['value']}"
    return f"it cannot honour {skipped['field']}{value}"


def _fate(name: str, fields: Document) -> str:
    if name in fields["used"]:
        return str(fields["used"][name])
    if name in fields["mapped"]:
        return f"{fields['mapped'][name]} (mapped)"
    return f"not sent: {fields['implied'][name]}" if name in fields["implied"] else "-"
