"""Normal form to native request, by the rules of the catalogue. Pure: no clock, no randomness, no provider's name.

The same normal form and the same mapping version always give the same native request.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from domain.fields import PROVIDER_ORDER, RESOLUTION
from domain.model import Model, NativeTarget, ProviderEntry, Rule


class CannotServe(Exception):
    """This provider cannot honour this value of this field; another may."""

    def __init__(self, provider: str, field: str) -> None:
        super().__init__(f"{provider} cannot serve this {field}")
        self.provider = provider
        self.field = field


def compile_native(entry: ProviderEntry, params: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The native model and its input for a normal form. Shares nothing with the catalogue or the parameters.

    Raises CannotServe.
    """
    resolution = params.get(RESOLUTION)
    target = entry.target_for(params)
    native: dict[str, Any] = {}
    for rule in entry.rules:
        name = rule.field
        if name not in params:
            continue
        value = params[name]
        if not rule.serves(value):
            raise CannotServe(entry.provider, name)
        if rule.to is None or resolution in rule.omit_for_resolutions or name in target.omits:
            continue
        native[target.members.get(name, rule.to)] = _translated(rule, value)
    for member, constant in entry.constants.items():
        native[member] = _own(constant)
    return target.model_at(resolution), native


def _translated(rule: Rule, value: Any) -> Any:
    if rule.values is not None:
        return _own(rule.values[value])
    if rule.text is not None:
        return rule.text.format(value)
    return value[0] if rule.single else _own(value)


def _own(value: Any) -> Any:
    """A copy of what can be changed; the catalogue's values are scalars, or flat lists and objects of them."""
    return value.copy() if isinstance(value, dict | list) else value


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
    to: str | None = None
    because: str | None = None


def field_fates(
    model: Model, entry: ProviderEntry, params: Mapping[str, Any], sent: Collection[str]
) -> list[FieldFate]:
    """For each field of the normal form, in declared order, where it went. `sent` are the names in the body."""
    rules = {rule.field: rule for rule in entry.rules}
    target = entry.target_for(params)
    names = [field.name for field in model.fields if field.name in params]
    return [_fate(name, rules.get(name), target, params, defaulted=name not in sent) for name in names]


def _fate(
    name: str, rule: Rule | None, target: NativeTarget, params: Mapping[str, Any], *, defaulted: bool
) -> FieldFate:
    if rule is None:
        assert name == PROVIDER_ORDER  # the loader refuses a mapping that forgets a field
        return FieldFate(name, Fate.ROUTING, defaulted)
    if name in target.omits:
        return FieldFate(name, Fate.IMPLIED, defaulted, because=target.omits[name])
    if rule.to is None or params.get(RESOLUTION) in rule.omit_for_resolutions:
        return FieldFate(name, Fate.IMPLIED, defaulted, because=rule.because)
    fate = Fate.USED if rule.values is None and rule.text is None and not rule.single else Fate.MAPPED
    return FieldFate(name, fate, defaulted, to=target.members.get(name, rule.to))
