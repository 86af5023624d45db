"""Checked catalogue files to domain records."""

from __future__ import annotations

import hashlib
import json
from types import MappingProxyType

from catalog.schema import ExtraField, InputRule, ModelFile, PriceEntry, ProviderEntryFile, ProviderFile, TargetFile
from domain.fields import LAST_FRAME, TEXT_CHARACTERS_MAX, Field, FieldKind, declared_fields
from domain.model import Model, NativeTarget, Price, PriceBook, ProviderEntry, ProviderFacts, Rates, Rule

_KINDS = {
    "string": FieldKind.TEXT,
    "integer": FieldKind.INTEGER,
    "number": FieldKind.NUMBER,
    "boolean": FieldKind.SWITCH,
}


def build_fields(model: ModelFile) -> tuple[Field, ...]:
    return declared_fields(
        ratios=model.ratios,
        output_formats=model.output_formats,
        outputs_max=model.outputs_max,
        input_files_max=model.input_files_max,
        last_frame=model.last_frame,
        durations=model.durations,
        resolutions=model.resolutions,
        default_resolution=model.default_resolution,
        audio=model.audio,
        providers=[entry.provider for entry in model.providers],
        extras=[_option(name, extra) for name, extra in model.extra_fields.items()],
    )


def build_model(model: ModelFile, fields: tuple[Field, ...]) -> Model:
    return Model(
        identifier=model.identifier,
        media_type=model.media_type,
        name=model.name,
        lab=model.lab,
        fields=fields,
        extra_names=((LAST_FRAME,) if model.last_frame else ()) + tuple(model.extra_fields),
        ratios=tuple(model.ratios),
        output_formats=tuple(model.output_formats),
        outputs_max=model.outputs_max,
        durations=tuple(model.durations),
        durations_by_resolution=MappingProxyType(
            {resolution: tuple(durations) for resolution, durations in model.durations_by_resolution.items()}
        ),
        resolutions=tuple(model.resolutions),
        default_resolution=model.default_resolution,
        audio=model.audio,
        input_files_max=model.input_files_max,
        last_frame=model.last_frame,
        prices=PriceBook(tuple(_price(model.identifier, price) for price in model.prices)),
        providers=tuple(_entry(entry, fields) for entry in model.providers),
        confidence=model.confidence,
    )


def build_provider(provider: ProviderFile) -> ProviderFacts:
    return ProviderFacts(
        identifier=provider.id,
        name=provider.name,
        description=provider.description,
        website=provider.website,
        docs=provider.docs,
        status=provider.status,
        delivery_method=provider.delivery_method,
        cancel_method=provider.cancel_method,
        webhook_verification=provider.webhook_verification,
        media_types=tuple(provider.media_types),
    )


def _option(name: str, extra: ExtraField) -> Field:
    kind = FieldKind.CHOICE if extra.enum is not None else _KINDS[extra.type]
    low, high = extra.minimum, extra.maximum
    if kind is FieldKind.TEXT:
        low, high = low or 0, high or TEXT_CHARACTERS_MAX
    return Field(name, kind, default=extra.default, choices=tuple(extra.enum or ()), minimum=low, maximum=high)


def _price(identifier: str, price: PriceEntry) -> Price:
    return Price(
        version=f"{identifier}@{price.number}",
        effective=price.effective,
        unit=price.per,
        rates=_rates(price.microcredits),
        basis=price.basis,
    )


def _rates(amounts: int | dict[str, int]) -> Rates:
    return Rates(flat_microcredits=amounts) if isinstance(amounts, int) else Rates(tiers=MappingProxyType(amounts))


def _entry(entry: ProviderEntryFile, fields: tuple[Field, ...]) -> ProviderEntry:
    rules = entry.rules()
    target = NativeTarget(entry.native_model, MappingProxyType(entry.native_model_by_resolution))
    with_input_file = _target(entry.with_input_file, target)
    return ProviderEntry(
        provider=entry.provider,
        target=target,
        with_input_file=with_input_file,
        with_last_frame=_target(entry.with_last_frame, with_input_file),
        rules=tuple(_rule(field.name, rules[field.name]) for field in fields if field.name in rules),
        constants=MappingProxyType(entry.constants),
        delivery=entry.delivery,
        cost=None if entry.cost_microcredits is None else _rates(entry.cost_microcredits),
        mapping_version=_mapping_version(entry),
        confidence=entry.confidence,
    )


def _target(said: TargetFile | None, otherwise: NativeTarget) -> NativeTarget:
    if said is None:
        return otherwise
    return NativeTarget(
        said.native_model,
        MappingProxyType(said.native_model_by_resolution),
        MappingProxyType(said.members),
        MappingProxyType(said.omits),
    )


def _rule(field: str, said: InputRule) -> Rule:
    return Rule(
        field=field,
        to=said.to,
        values=None if said.values is None else MappingProxyType(said.values),
        text=said.text,
        single=said.single,
        only=None if said.only is None else frozenset(said.only),
        because=said.because,
        omit_for_resolutions=frozenset(said.omit_for_resolutions),
    )


_DECIDING = {"native_model", "native_model_by_resolution", "with_input_file", "with_last_frame", "constants"}


def _mapping_version(entry: ProviderEntryFile) -> str:
    """A digest of whatever decides about the native request, so that nobody has to remember to count."""
    decides = entry.model_dump(mode="json", include=_DECIDING)
    decides["input"] = {name: said.model_dump(mode="json") for name, said in sorted(entry.rules().items())}
    canonical = json.dumps(decides, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]
