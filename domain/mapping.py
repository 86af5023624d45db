"""Normal form to native request, by the rules of the catalogue. Pure: no clock, no randomness, no provider's name.

The same normal form and the same mapping version always give the same native request.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from domain.fields import PROVIDER_ORDER, RESOLUTION
from domain.model import Model, Path, ProviderEntry, Rule

HOLE = "{}"  # in a text or a template: where the value goes


class CannotServe(Exception):
    """This provider cannot honour this value of this field; another may."""

    def __init__(self, provider: str, field: str) -> None:
        super().__init__(f"{provider} cannot serve this {field}")
        self.provider = provider
        self.field = field


@dataclass(frozen=True)
class NativeRequest:
    """What a provider is sent: its own name of the model, the kind of call, and the input in its own words."""

    native_model: str
    endpoint: str
    native_input: dict[str, Any]


def compile_native(entry: ProviderEntry, params: Mapping[str, Any]) -> NativeRequest:
    """The native request for a normal form. Shares nothing with the catalogue or the parameters.

    Raises CannotServe.
    """
    resolution = params.get(RESOLUTION)
    target = entry.target_for(params)
    rules = [rule for rule in target.rules if rule.field in params]
    for rule in rules:
        if not rule.serves(params[rule.field], resolution):
            raise CannotServe(entry.provider, rule.field)
    native: dict[str, Any] = {}
    for rule in rules:
        if rule.to and resolution not in rule.omit_for_resolutions:
            _write(native, rule, _translated(rule, params[rule.field], resolution))
    for path, constant in target.constants:
        _opened(native, path[:-1], {})[path[-1]] = _filled(constant)
    return NativeRequest(target.model_at(resolution), target.endpoint, native)


def _translated(rule: Rule, value: Any, resolution: str | None) -> Any:
    table = rule.table(resolution)
    if table is not None:
        return table[value]
    if rule.text is not None:
        return rule.text.format(value)
    return value[0] if rule.single else value


def _write(native: dict[str, Any], rule: Rule, value: Any) -> None:
    if len(rule.to) > 1:
        for path, each in zip(rule.to, value, strict=False):  # fewer files than places: the last ones stay empty
            _opened(native, path[:-1], {})[path[-1]] = _filled(each)
        return
    path = rule.to[0]
    if rule.item is None:
        _opened(native, path[:-1], {})[path[-1]] = _filled(value)
        return
    items = _opened(native, path, [])
    items += [_filled(rule.item, each) for each in (value if isinstance(value, list) else [value])]


def _opened(node: Any, path: Path, innermost: Any) -> Any:
    """The member at `path`, made where it is missing; `innermost` is what is made there at the end."""
    for step, key in enumerate(path, start=1):
        made = innermost if step == len(path) else [] if isinstance(path[step], int) else {}
        if isinstance(key, str):
            node.setdefault(key, made)
        elif key == len(node):
            node.append(made)
        node = node[key]
    return node


def _filled(template: Any, value: Any = HOLE) -> Any:
    """A copy of the template, at every depth, with the value in its hole."""
    if isinstance(template, Mapping):
        return {key: _filled(each, value) for key, each in template.items()}
    if isinstance(template, list):
        return [_filled(each, value) for each in template]
    return value if template == HOLE else template


class Fate(StrEnum):
    USED = "used"  # passed on as it is
    MAPPED = "mapped"  # passed on in the provider's spelling
    IMPLIED = "implied"  # not passed on: the provider does it anyway, or the endpoint carries it
    ROUTING = "routing"  # for us, not for the provider


@dataclass(frozen=True)
class FieldFate:
    """What became of one field of the normal form at one provider."""

    field: str
    fate: Fate
    defaulted: bool  # the caller did not send it
    to: str | None = None  # the native member: a path is dotted, several are separated by commas
    because: str | None = None


def field_fates(
    model: Model, entry: ProviderEntry, params: Mapping[str, Any], sent: Collection[str]
) -> list[FieldFate]:
    """For each field of the normal form, in declared order, where it went. `sent` are the names in the body."""
    rules = {rule.field: rule for rule in entry.target_for(params).rules}
    names = [field.name for field in model.fields if field.name in params]
    return [_fate(name, rules.get(name), params, defaulted=name not in sent) for name in names]


def _fate(name: str, rule: Rule | None, params: Mapping[str, Any], *, defaulted: bool) -> FieldFate:
    if rule is None:
        assert name == PROVIDER_ORDER  # the loader refuses a mapping that forgets a field
        return FieldFate(name, Fate.ROUTING, defaulted)
    if not rule.to or params.get(RESOLUTION) in rule.omit_for_resolutions:
        return FieldFate(name, Fate.IMPLIED, defaulted, because=rule.because)
    translated = (rule.values, rule.values_by_resolution, rule.text, rule.item)
    plain = all(each is None for each in translated) and not rule.single and len(rule.to) == 1
    fate = Fate.USED if plain else Fate.MAPPED
    return FieldFate(name, fate, defaulted, to=", ".join(".".join(map(str, path)) for path in rule.to))
