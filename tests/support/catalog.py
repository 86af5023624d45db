"""The packaged catalogue, loaded once, and the bodies that tests send to its models."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from catalog.loader import load_catalog
from domain.fields import (
    DURATION,
    INPUT_FILE,
    LAST_FRAME,
    OUTPUT_NUMBER,
    PROMPT,
    RESOLUTION,
    Field,
    FieldKind,
    values_of,
)
from domain.mapping import CannotServe, compile_native
from domain.model import Model, NativeTarget, ProviderEntry
from domain.normalization import normalize

CATALOG = load_catalog()
MODELS = list(CATALOG.models.values())
A_FILE = "https://files.example.com/harbour.png"
GOLDEN = Path(__file__).parents[1] / "catalog" / "golden"  # of the models whose requests a person has reviewed


def minimal_body(model: Model) -> dict[str, Any]:
    """Only what is required."""
    body: dict[str, Any] = {PROMPT: "Harbour at dawn"} if model.prompt else {}
    if model.input_files_min:
        body |= some_files(model.input_files_min)
    if model.durations:
        body[DURATION] = model.durations[0]
    return body


def with_a_file(model: Model) -> dict[str, Any]:
    """What is required, and as many input files as it takes, but at least one."""
    return minimal_body(model) | some_files(max(model.input_files_min, 1))


def some_files(count: int) -> dict[str, Any]:
    """The first is plain, as the only one usually is."""
    return {INPUT_FILE: [A_FILE] + [f"{A_FILE}?{number}" for number in range(1, count)]}


def every_body(model: Model) -> Iterator[dict[str, Any]]:
    """Every value of every field that has a list of values, and both ends of each range, one field at a time: at each
    resolution, and without files, with as few and as many as it takes, and with a last frame."""
    for case in _cases(model):
        for resolution in model.resolutions or (None,):
            body = case if resolution is None else case | {RESOLUTION: resolution}
            for duration in model.durations_at(resolution):
                body |= {DURATION: duration}
                yield body
            if not model.durations:
                yield body
            for field in model.fields:
                if field.name not in {RESOLUTION, DURATION}:
                    yield from (body | {field.name: value} for value in _probes(field))


def _cases(model: Model) -> Iterator[dict[str, Any]]:
    prompt = {PROMPT: "Harbour at dawn"} if model.prompt else {}
    least = max(model.input_files_min, 1)
    if not model.input_files_min:
        yield prompt
    if model.input_files_max:
        yield prompt | some_files(least)
    if model.input_files_max > least:
        yield prompt | some_files(model.input_files_max)
    if model.last_frame:
        yield prompt | some_files(least) | {LAST_FRAME: f"{A_FILE}?last"}


def _probes(field: Field) -> tuple[Any, ...]:
    if field.kind in {FieldKind.INTEGER, FieldKind.NUMBER} and field.name != OUTPUT_NUMBER:
        return (field.minimum, field.maximum)
    if field.kind is FieldKind.TEXT and field.name != PROMPT:
        return ("blurry",)
    return values_of(field)


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
        entry.provider: {
            name: _native(model, entry.provider, body) for name, body in (bodies | _fitting(model, entry)).items()
        }
        for entry in model.providers
    }


def _fitting(model: Model, entry: ProviderEntry) -> dict[str, Any]:
    """For a provider that does not even serve all the defaults: the first values that it does serve."""
    normal = normalize(model, model.media_type, minimal_body(model))
    resolution = normal.get(RESOLUTION)
    refused = [
        rule
        for rule in entry.target_for(normal).rules
        if rule.field in normal and not rule.serves(normal[rule.field], resolution)
    ]
    first = {rule.field: next(filter(rule.serves, values_of(model.field(rule.field)))) for rule in refused}
    return {"fitting": minimal_body(model) | first} if first else {}


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


REVIEWED = [model for model in MODELS if golden_file(model).exists()]


def write_golden_files() -> None:
    """After a deliberate change: `python -c "from tests.support import catalog; catalog.write_golden_files()"`. To have
    one more model reviewed, begin with an empty file of its name."""
    for model in REVIEWED:
        text = json.dumps(native_requests(model), indent=2, ensure_ascii=False)
        golden_file(model).write_text(text + "\n", encoding="utf-8")
