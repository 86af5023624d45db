"""What must be true of a mapping: every field accounted for, every value served or said to be missing, nothing written
twice."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from typing import Any

from catalog.building import items_max, path_of
from catalog.schema import InputRule, ModelFile, ProviderEntryFile, TargetFile
from domain.fields import (
    DURATION,
    INPUT_FILE,
    LAST_FRAME,
    PROVIDER_ORDER,
    RATIO,
    RESOLUTION,
    Field,
    FieldKind,
    values_of,
)
from domain.mapping import HOLE
from domain.model import Path

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
    for name in sorted(set(entry.narrows) - set(by_name)):
        yield f"narrows.{name}: is not a field of this model"
    for name, accepted in (("with_input_file", model.input_files_max), ("with_last_frame", model.last_frame)):
        if name in entry.targets and not accepted:
            yield f"{name}: this model accepts no such file"
    for where, target in entry.targets.items():
        prefix = f"{where}." if where else ""
        yield from (f"{prefix}{message}" for message in _target(model, entry, target, by_name, sizes))
    cases = _cases_of(model, entry)
    for name, field in by_name.items():
        yield from (f"input.{name}: {message}" for message in _narrowing(entry, field, _rules_in(cases, name)))


def _target(
    model: ModelFile,
    entry: ProviderEntryFile,
    target: TargetFile | None,
    by_name: Mapping[str, Field],
    sizes: Mapping[str, str],
) -> Iterator[str]:
    said = entry if target is None else target
    yield from _by_resolution(model, said)
    for name in sorted(set(said.input) - set(by_name)):
        yield f"input.{name}: is not a field of this model"
    for name in [] if target is None else target.omits:
        if name != RATIO or RATIO not in entry.input:
            yield f"omits.{name}: only the ratio may be left to the file"
    rules = entry.rules(target)
    together = [rule for name, rule in rules.items() if name not in _given_elsewhere(entry, target)]
    yield from _written_twice(together, entry.constants_at(target))
    for name, rule in rules.items():
        if name in said.input and name in by_name:
            yield from (f"input.{name}: {message}" for message in _rule(model, by_name[name], rule))
            yield from (f"input.{name}: {message}" for message in _tables(model, rules, by_name[name], rule))
            if name == RATIO:
                yield from (f"input.{name}: {message}" for message in _pixels(rule, sizes))


def _given_elsewhere(entry: ProviderEntryFile, target: TargetFile | None) -> set[str]:
    """The files that are never given in this case, because another case is made for them."""
    if target is None and entry.with_input_file is not None:
        return {INPUT_FILE, LAST_FRAME}
    return {LAST_FRAME} if entry.with_last_frame not in (None, target) else set()


def _by_resolution(model: ModelFile, said: ProviderEntryFile | TargetFile) -> Iterator[str]:
    endpoints = said.native_model_by_resolution
    if endpoints and set(endpoints) != set(model.resolutions):
        yield "native_model_by_resolution: must have exactly the resolutions"
    if endpoints and said.native_model not in endpoints.values():
        yield "native_model: must be one of native_model_by_resolution"


def _written_twice(rules: Iterable[InputRule], constants: Mapping[str, Any]) -> Iterator[str]:
    """Items may be added to one list by several rules; nothing else may be written by two, nor in parts and whole."""
    writes = [(path_of(member), rule.item is not None) for rule in rules for member in rule.members]
    writes += [(path_of(member), False) for member in constants]
    if len({path[0] for path, _ in writes}) == len(writes):
        return  # as most of them: nothing is nested
    for (one, one_adds), (other, other_adds) in combinations(sorted(writes, key=lambda write: len(write[0])), 2):
        if one == other and not (one_adds and other_adds):
            yield f"input: {_dotted(one)} is written twice"
        elif one != other and other[: len(one)] == one:
            yield f"input: {_dotted(other)} is written inside of {_dotted(one)}"
        elif _disagree(one, other):
            yield f"input: {_dotted(one)} and {_dotted(other)} disagree about what is a list"


def _disagree(one: Path, other: Path) -> bool:
    ours, theirs = next(((a, b) for a, b in zip(one, other, strict=False) if a != b), (0, 0))
    return isinstance(ours, int) != isinstance(theirs, int)


def _dotted(path: Path) -> str:
    return ".".join(map(str, path))


def _rule(model: ModelFile, field: Field, rule: InputRule) -> Iterator[str]:
    if field.name == DURATION and model.duration_of_input:
        if rule.members or rule.only is not None or rule.because is None:
            yield "is the length of the given video: it is not sent; say `because` and nothing else"
    elif not rule.members and (rule.only is None or rule.because is None):
        yield "without `to`, say which values are served (`only`) and why nothing is lost (`because`)"
    translations = {"values": rule.values, "values_by_resolution": rule.values_by_resolution, "text": rule.text}
    given = [f"`{name}`" for name, value in translations.items() if value is not None]
    if not rule.members and (given or rule.item is not None):
        yield "`values`, `values_by_resolution`, `text` and `item` need `to`"
    if len(given) > 1:
        yield f"has both {' and '.join(given)}"
    yield from _file_rule(field, rule)
    if rule.text is not None and ("{}" not in rule.text or set("{}") & set(rule.text.replace("{}", "", 1))):
        yield "text: must have one {} and no other braces"
    if rule.item is not None and (_holes(rule.item) != 1 or len(rule.members) > 1):
        yield 'item: must have one "{}", and is added to one list'
    if rule.omit_for_resolutions and rule.because is None:
        yield "omit_for_resolutions: say `because`"
    if not set(rule.omit_for_resolutions) <= set(model.resolutions):
        yield "omit_for_resolutions: is not one of resolutions"
    for resolution in rule.omit_for_resolutions:
        if field.name != DURATION or len(model.durations_by_resolution.get(resolution, model.durations)) != 1:
            yield f"omit_for_resolutions: at {resolution} the caller has a choice, which would be lost"


def _file_rule(field: Field, rule: InputRule) -> Iterator[str]:
    tables = rule.values is not None or rule.values_by_resolution is not None
    if field.kind in _ADDRESSES and (tables or rule.text is not None or rule.only):
        yield "files are passed on as they are: tables, `text` and a list in `only` mean nothing here"
    if rule.single and (field.kind is not FieldKind.URL_LIST or len(rule.members) != 1 or rule.item is not None):
        yield "single: is for a list that is sent"
    if rule.files_max is not None and (field.kind is not FieldKind.URL_LIST or len(rule.members) != 1 or rule.single):
        yield "files_max: is for a list that is sent"
    if len(rule.members) > 1 and field.kind is not FieldKind.URL_LIST and not tables:
        yield "several members need a list to be spread over them: files, or lists in a table"


def _holes(template: Any) -> int:
    if isinstance(template, Mapping):
        return sum(map(_holes, template.values()))
    return sum(map(_holes, template)) if isinstance(template, list) else template == HOLE


def _tables(model: ModelFile, rules: Mapping[str, InputRule], field: Field, rule: InputRule) -> Iterator[str]:
    allowed = {(type(value), value) for value in values_of(field)}
    for name, said in (*_lookups(rule), ("only", rule.only or ())):
        for value in said:
            if (type(value), value) not in allowed:
                yield f"{name}: {value!r} is not a value of the field"
    for name, table in _lookups(rule):
        for native in table.values():
            parts = len(native) if isinstance(native, list) else 1
            if parts != len(rule.members) and (parts > 1 or len(rule.members) > 1):
                yield f"{name}: {native!r} must be a list with one item for each member of `to`"
    if rule.values_by_resolution is not None:
        chosen = rules.get(RESOLUTION)
        served = [r for r in model.resolutions if chosen is None or chosen.only is None or r in chosen.only]
        if field.name == RESOLUTION or set(rule.values_by_resolution) != set(served):
            yield f"values_by_resolution: must have exactly the resolutions that are served: {', '.join(served)}"


def _lookups(rule: InputRule) -> list[tuple[str, Mapping[Any, Any]]]:
    if rule.values is not None:
        return [("values", rule.values)]
    return [(f"values_by_resolution.{name}", table) for name, table in (rule.values_by_resolution or {}).items()]


def _served(field: Field, rule: InputRule) -> set[Any]:
    """Values that can be had at every resolution that the provider serves."""
    tables = [table for _, table in _lookups(rule)]
    return {
        value
        for value in values_of(field)
        if all(value in table for table in tables) and (rule.only is None or value in rule.only)
    }


def _cases_of(model: ModelFile, entry: ProviderEntryFile) -> list[dict[str, InputRule]]:
    """The rules of this provider in every case that can occur."""
    always = model.input_files_min > 0 and entry.with_input_file is not None
    return [entry.rules(target) for name, target in entry.targets.items() if name or not always]


def _rules_in(cases: Iterable[Mapping[str, InputRule]], name: str) -> list[InputRule]:
    return [rules[name] for rules in cases if name in rules]


def _narrowing(entry: ProviderEntryFile, field: Field, rules: Iterable[InputRule]) -> Iterator[str]:
    missing: set[str] = set()
    narrower = False
    for rule in rules:
        if field.kind in _ADDRESSES:
            missing |= _files_missing(field, rule)
        else:
            missing |= {str(value) for value in set(values_of(field)) - _served(field, rule)}
            narrower = narrower or (not values_of(field) and (bool(_lookups(rule)) or rule.only is not None))
    narrower = narrower or bool(missing)
    if narrower and field.name not in entry.narrows:
        yield f"does not serve {', '.join(sorted(missing)) or 'any value'}: if that is so, say why in `narrows`"
    if not narrower and field.name in entry.narrows:
        yield "serves all values, but `narrows` says otherwise"


def _files_missing(field: Field, rule: InputRule) -> set[str]:
    if rule.only is not None:
        return {"any file"}
    most = items_max(rule)
    if most is None or field.maximum is None or most >= field.maximum:
        return set()
    return {f"more than {'one file' if most == 1 else f'{most} files'}"}


def coverage_problems(model: ModelFile, fields: tuple[Field, ...]) -> Iterator[str]:
    """Values that the model promises and nobody serves."""
    cases = [rules for entry in model.providers for rules in _cases_of(model, entry)]
    for field in fields:
        rules = _rules_in(cases, field.name)
        served = set().union(*(_served(field, rule) for rule in rules))
        for value in values_of(field):
            if rules and value not in served:
                yield f"{field.name}: no provider serves {value}"
        if field.kind in _ADDRESSES and rules and all(_files_missing(field, rule) for rule in rules):
            yield f"{field.name}: no provider serves as many files as the model accepts"


def _pixels(rule: InputRule, sizes: Mapping[str, str]) -> Iterator[str]:
    for name, table in _lookups(rule):
        for ratio, native in table.items():
            size = _size(native, sizes)
            if size is None:
                yield f"{name}: {native!r} is neither a size nor a name of one in the provider's file"
            elif abs(size / _quotient(str(ratio)) - 1) > RATIO_TOLERANCE:
                yield f"{name}: {native!r} is more than 3 % off {ratio}"


def _size(native: Any, sizes: Mapping[str, str]) -> float | None:
    """Width divided by height."""
    if isinstance(native, dict) and set(native) == {"width", "height"}:
        native = [native["width"], native["height"]]
    if isinstance(native, list):
        if len(native) != 2 or not all(type(side) is int and side > 0 for side in native):
            return None
        return float(native[0] / native[1])
    text = sizes.get(str(native), str(native))
    return _quotient(text) if _PIXELS.fullmatch(text) else None


def _quotient(text: str) -> float:
    match = _PIXELS.fullmatch(text)
    assert match
    return int(match[1]) / max(int(match[2]), 1)
