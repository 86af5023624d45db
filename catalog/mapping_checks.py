"""What must be true of a mapping: every field accounted for, every value served or said to be missing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from catalog.schema import InputRule, ModelFile, ProviderEntryFile, TargetFile
from domain.fields import DURATION, PROVIDER_ORDER, RATIO, Field, FieldKind, values_of

RATIO_TOLERANCE = 0.03  # sizes given by the providers miss the nominal ratio by up to 2.9 %
_ADDRESSES = {FieldKind.URL, FieldKind.URL_LIST}
_PIXELS = re.compile(r"([0-9]+)[x*:]([0-9]+)")


def entry_problems(
    model: ModelFile, entry: ProviderEntryFile, fields: tuple[Field, ...], sizes: Mapping[str, str]
) -> Iterator[str]:
    """All that is wrong with how one provider is asked; `sizes` are its names of image sizes."""
    by_name = {field.name: field for field in fields if field.name != PROVIDER_ORDER}
    for name in sorted(set(by_name) - set(entry.input)):
        yield f"input: says nothing about {name}: map it, or say `only` and `because`"
    for name in sorted(set(entry.input) - set(by_name)):
        yield f"input.{name}: is not a field of this model"
    yield from _written_twice("input", entry, {})
    yield from _by_resolution(model, entry)
    for name, accepted in (("with_input_file", model.input_files_max), ("with_last_frame", model.last_frame)):
        target: TargetFile | None = getattr(entry, name)
        if target is not None and not accepted:
            yield f"{name}: this model accepts no such file"
        elif target is not None:
            yield from (f"{name}.{message}" for message in _target(model, entry, target))
    for name in sorted(set(entry.narrows) - set(by_name)):
        yield f"narrows.{name}: is not a field of this model"
    for name, rule in entry.rules().items():
        if name in by_name:
            field = by_name[name]
            yield from (f"input.{name}: {message}" for message in _rule(model, field, rule))
            yield from (f"input.{name}: {message}" for message in _narrowing(entry, field, rule))
            if name == RATIO:
                yield from (f"input.{name}: {message}" for message in _pixels(rule, sizes))


def _target(model: ModelFile, entry: ProviderEntryFile, target: TargetFile) -> Iterator[str]:
    yield from _by_resolution(model, target)
    yield from _written_twice("members", entry, target.members)
    rules = entry.rules()
    for name in target.members:
        if name not in rules or rules[name].to is None or name in target.omits:
            yield f"members.{name}: is not sent, so it cannot have another name"
    for name in target.omits:
        if name != RATIO or RATIO not in rules:
            yield f"omits.{name}: only the ratio may be left to the file"


def _by_resolution(model: ModelFile, entry: ProviderEntryFile | TargetFile) -> Iterator[str]:
    endpoints = entry.native_model_by_resolution
    if endpoints and set(endpoints) != set(model.resolutions):
        yield "native_model_by_resolution: must have exactly the resolutions"
    if endpoints and entry.native_model not in endpoints.values():
        yield "native_model: must be one of native_model_by_resolution"


def _written_twice(where: str, entry: ProviderEntryFile, renamed: Mapping[str, str]) -> Iterator[str]:
    written = [renamed.get(name, rule.to) for name, rule in entry.rules().items() if rule.to] + list(entry.constants)
    for member in sorted({str(member) for member in written if written.count(member) > 1}):
        yield f"{where}: {member} is written twice"


def _rule(model: ModelFile, field: Field, rule: InputRule) -> Iterator[str]:
    if rule.to is None and (rule.only is None or rule.because is None):
        yield "without `to`, say which values are served (`only`) and why nothing is lost (`because`)"
    if rule.to is None and (rule.values is not None or rule.text is not None):
        yield "`values` and `text` need `to`"
    if rule.values is not None and rule.text is not None:
        yield "has both `values` and `text`"
    yield from _file_rule(field, rule)
    if rule.text is not None and ("{}" not in rule.text or set("{}") & set(rule.text.replace("{}", "", 1))):
        yield "text: must have one {} and no other braces"
    if rule.omit_for_resolutions and rule.because is None:
        yield "omit_for_resolutions: say `because`"
    if not set(rule.omit_for_resolutions) <= set(model.resolutions):
        yield "omit_for_resolutions: is not one of resolutions"
    for resolution in rule.omit_for_resolutions:
        if field.name != DURATION or len(model.durations_by_resolution.get(resolution, model.durations)) != 1:
            yield f"omit_for_resolutions: at {resolution} the caller has a choice, which would be lost"
    for name, said in (("values", rule.values), ("only", rule.only)):
        allowed = {(type(value), value) for value in values_of(field)}
        for value in said or ():
            if (type(value), value) not in allowed:
                yield f"{name}: {value!r} is not a value of the field"


def _file_rule(field: Field, rule: InputRule) -> Iterator[str]:
    if field.kind in _ADDRESSES and (rule.values is not None or rule.text is not None or rule.only):
        yield "files are passed on as they are: `values`, `text` and a list in `only` mean nothing here"
    if rule.single and (field.kind is not FieldKind.URL_LIST or rule.to is None):
        yield "single: is for a list that is sent"


def _served(field: Field, rule: InputRule) -> set[Any]:
    return {
        value
        for value in values_of(field)
        if (rule.values is None or value in rule.values) and (rule.only is None or value in rule.only)
    }


def _narrowing(entry: ProviderEntryFile, field: Field, rule: InputRule) -> Iterator[str]:
    missing = {str(value) for value in set(values_of(field)) - _served(field, rule)}
    if field.kind in _ADDRESSES:
        missing = _files_missing(field, rule)
    lists = rule.values is not None or rule.only is not None
    narrower = bool(missing) or (lists and not values_of(field))
    if narrower and field.name not in entry.narrows:
        yield f"does not serve {', '.join(sorted(missing))}: if that is so, say why in `narrows`"
    if not narrower and field.name in entry.narrows:
        yield "serves all values, but `narrows` says otherwise"


def _files_missing(field: Field, rule: InputRule) -> set[str]:
    if rule.only is not None:
        return {"any file"}
    return {"more than one file"} if rule.single and field.maximum != 1 else set()


def coverage_problems(model: ModelFile, fields: tuple[Field, ...]) -> Iterator[str]:
    """Values that the model promises and nobody serves."""
    mappings = [entry.rules() for entry in model.providers]
    for field in fields:
        rules = [rules[field.name] for rules in mappings if field.name in rules]
        served = set().union(*(_served(field, rule) for rule in rules))
        for value in values_of(field):
            if rules and value not in served:
                yield f"{field.name}: no provider serves {value}"
        if field.kind in _ADDRESSES and rules and all(_files_missing(field, rule) for rule in rules):
            yield f"{field.name}: no provider serves as many files as the model accepts"


def _pixels(rule: InputRule, sizes: Mapping[str, str]) -> Iterator[str]:
    for ratio, native in (rule.values or {}).items():
        size = _size(native, sizes)
        if size is None:
            yield f"values: {native!r} is neither a size nor a name of one in the provider's file"
            continue
        wanted = _quotient(str(ratio))
        if abs(size / wanted - 1) > RATIO_TOLERANCE:
            yield f"values: {native!r} is more than 3 % off {ratio}"


def _size(native: Any, sizes: Mapping[str, str]) -> float | None:
    """Width divided by height."""
    if isinstance(native, dict):
        width, height = native.get("width"), native.get("height")
        if type(width) is not int or type(height) is not int or len(native) != 2 or min(width, height) <= 0:
            return None
        return width / height
    text = sizes.get(str(native), str(native))
    return _quotient(text) if _PIXELS.fullmatch(text) else None


def _quotient(text: str) -> float:
    match = _PIXELS.fullmatch(text)
    assert match
    return int(match[1]) / max(int(match[2]), 1)
