"""The packaged catalogue, loaded once, and the bodies that tests send to its models."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from catalog.loader import load_catalog
from domain.fields import DURATION, INPUT_FILE, PROMPT, Field, FieldKind, values_of
from domain.mapping import CannotServe, compile_native
from domain.model import Model, NativeTarget, ProviderEntry
from domain.normalization import normalize

CATALOG = load_catalog()
MODELS = list(CATALOG.models.values())
A_FILE = "https://files.example.com/harbour.png"
GOLDEN = Path(__file__).parents[1] / "catalog" / "golden"


def minimal_body(model: Model) -> dict[str, Any]:
    """Only what is required."""
    body: dict[str, Any] = {PROMPT: "Harbour at dawn"}
    if model.durations:
        body[DURATION] = model.durations[0]
    return body


def with_a_file(model: Model) -> dict[str, Any]:
    """What is required, and one input file."""
    return minimal_body(model) | {INPUT_FILE: [A_FILE]}


def full_body(model: Model) -> dict[str, Any]:
    """Every field, each with the last of its values."""
    body = {field.name: _last(field) for field in model.fields}
    if model.durations:
        body[DURATION] = model.durations_at(body.get("generation_resolution"))[-1]
    return body


def _last(field: Field) -> Any:
    if field.kind is FieldKind.PROVIDER_ORDER:
        return ", ".join(map(str, field.choices))
    if field.kind is FieldKind.TEXT:
        return f"Nebel über dem Hafen 🌊 ({field.name})"
    if field.kind is FieldKind.URL:
        return f"{A_FILE}?{field.name}"
    if field.kind is FieldKind.URL_LIST:
        return [f"{A_FILE}?{number}" for number in range(int(field.maximum or 0))]
    values = values_of(field)
    return values[-1] if values else field.maximum


def native_requests(model: Model) -> dict[str, Any]:
    """What each provider would be sent for the bodies above: the content of the model's golden file."""
    bodies = {"minimal": minimal_body(model), "full": full_body(model)}
    if model.input_files_max:
        bodies["with a file"] = with_a_file(model)
    return {
        entry.provider: {name: _native(model, entry.provider, body) for name, body in bodies.items()}
        for entry in model.providers
    }


def _native(model: Model, provider: str, body: dict[str, Any]) -> Any:
    try:
        native = compile_native(model.entry(provider), normalize(model, model.media_type, body))
    except CannotServe as cannot:
        return f"cannot serve {cannot.field}"
    endpoint = {"endpoint": native.endpoint} if native.endpoint else {}
    return {"model": native.native_model, **endpoint, "input": native.native_input}


def with_rule(entry: ProviderEntry, field: str, **changes: Any) -> ProviderEntry:
    """The same entry, but with another rule for one field, whatever files are given."""

    def at(target: NativeTarget) -> NativeTarget:
        return replace(target, rules=tuple(replace(r, **changes) if r.field == field else r for r in target.rules))

    cases = {name: at(getattr(entry, name)) for name in ("target", "with_input_file", "with_last_frame")}
    return replace(entry, **cases)


def golden_file(model: Model) -> Path:
    return GOLDEN / f"{model.identifier.replace('/', '-')}.json"


def write_golden_files() -> None:
    """After a deliberate change: `python -c "from tests.support import catalog; catalog.write_golden_files()"`."""
    for model in MODELS:
        text = json.dumps(native_requests(model), indent=2, ensure_ascii=False)
        golden_file(model).write_text(text + "\n", encoding="utf-8")
