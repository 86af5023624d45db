"""What became of each field and of each provider when an ask was planned. Pure; it keeps nothing that a customer wrote:
no prompt, no address."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from domain.fields import FieldKind
from domain.generation import Decision, FieldsAt, Skipped, SkipReason
from domain.mapping import CannotServe, Fate, FieldFate, field_fates
from domain.model import Model, ProviderEntry

_BY_ENDPOINT = "the endpoint of this resolution has no such parameter"
_SHOWN_KINDS = frozenset(
    {FieldKind.CHOICE, FieldKind.NUMBER_CHOICE, FieldKind.INTEGER, FieldKind.NUMBER, FieldKind.SWITCH}
)


def decision(
    model: Model,
    params: Mapping[str, Any],
    sent: Collection[str],
    candidates: Sequence[ProviderEntry],
    skipped: Sequence[Skipped],
    demoted: Sequence[str] = (),
) -> Decision:
    """`params` is the normal form, `sent` are the names that the caller's body had."""
    fates = {entry.provider: field_fates(model, entry, params, sent) for entry in candidates}
    return Decision(
        defaulted=[field.name for field in model.fields if field.name in params and field.name not in sent],
        routing=_named(next(iter(fates.values()), []), Fate.ROUTING),
        candidates=[_fields_at(entry, fates[entry.provider]) for entry in candidates],
        skipped=list(skipped),
        demoted=list(demoted),
    )


def unable(model: Model, params: Mapping[str, Any], refused: CannotServe) -> Skipped:
    """A provider that cannot honour a field, with what was asked of it where that is not the customer's own."""
    value, shown = params[refused.field], None
    if isinstance(value, list):
        shown = f"{len(value)} files"
    elif model.field(refused.field).kind in _SHOWN_KINDS:
        shown = str(value).lower() if isinstance(value, bool) else str(value)
    return Skipped(refused.provider, SkipReason.CANNOT_SERVE, refused.field, shown)


def _fields_at(entry: ProviderEntry, fates: Sequence[FieldFate]) -> FieldsAt:
    return FieldsAt(
        provider=entry.provider,
        mapping_version=entry.mapping_version,
        used=_places(fates, Fate.USED),
        mapped=_places(fates, Fate.MAPPED),
        implied={fate.field: fate.because or _BY_ENDPOINT for fate in fates if fate.fate is Fate.IMPLIED},
    )


def _places(fates: Sequence[FieldFate], wanted: Fate) -> dict[str, str]:
    return {fate.field: fate.to or "" for fate in fates if fate.fate is wanted}


def _named(fates: Sequence[FieldFate], wanted: Fate) -> list[str]:
    return [fate.field for fate in fates if fate.fate is wanted]
