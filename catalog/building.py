"""Checked catalogue files to domain records."""

from __future__ import annotations

import hashlib
import json
from types import MappingProxyType

from catalog.schema import ExtraField, InputRule, ModelFile, PriceEntry, ProviderEntryFile, ProviderFile, TargetFile
from domain.fields import LAST_FRAME, TEXT_CHARACTERS_MAX, Field, FieldKind, declared_fields
from domain.generation import MediaType
from domain.model import Model, NativeTarget, Path, Price, PriceBook, ProviderEntry, ProviderFacts, Rates, Rule

_KINDS = {
    "string": FieldKind.TEXT,
    "integer": FieldKind.INTEGER,
    "number": FieldKind.NUMBER,
    "boolean": FieldKind.SWITCH,
}


def build_fields(model: ModelFile) -> tuple[Field, ...]:
    return declared_fields(
        prompt=model.prompt,
        ratios=model.ratios,
        output_formats=model.output_formats,
        outputs_max=model.outputs_max,
        input_files_min=model.input_files_min,
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
        input_files_min=model.input_files_min,
        input_files_max=model.input_files_max,
        input_kinds=tuple(model.input_kinds) or (MediaType.IMAGE,),
        last_frame=model.last_frame,
        duration_of_input=model.duration_of_input,
        prices=PriceBook(tuple(_price(model.identifier, price) for price in model.prices)),
        providers=tuple(_entry(entry) for entry in model.providers),
        confidence=model.confidence,
        identifier_evidence=model.identifier_evidence,
        retires_on=model.retires_on,
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
        rates=rates(price.microcredits),
        basis=price.basis,
    )


def rates(amounts: int | dict[str, int]) -> Rates:
    return Rates(flat_microcredits=amounts) if isinstance(amounts, int) else Rates(tiers=MappingProxyType(amounts))


def _entry(entry: ProviderEntryFile) -> ProviderEntry:
    target = _target(entry, None)
    with_input_file = target if entry.with_input_file is None else _target(entry, entry.with_input_file)
    return ProviderEntry(
        provider=entry.provider,
        target=target,
        with_input_file=with_input_file,
        with_last_frame=with_input_file if entry.with_last_frame is None else _target(entry, entry.with_last_frame),
        delivery=entry.delivery,
        cost=None if entry.cost_microcredits is None else rates(entry.cost_microcredits),
        mapping_version=_mapping_version(entry),
        confidence=entry.confidence,
        default=entry.default,
        retires_on=entry.retires_on,
    )


def _target(entry: ProviderEntryFile, said: TargetFile | None) -> NativeTarget:
    asked = entry if said is None or said.native_model is None else said
    assert asked.native_model is not None
    return NativeTarget(
        native_model=asked.native_model,
        rules=tuple(_rule(name, rule) for name, rule in entry.rules(said).items()),
        endpoint=entry.endpoint if said is None or said.endpoint is None else said.endpoint,
        by_resolution=MappingProxyType(asked.native_model_by_resolution),
        constants=tuple((path_of(member), value) for member, value in entry.constants_at(said).items()),
    )


def _rule(field: str, said: InputRule) -> Rule:
    to = tuple(map(path_of, said.members))
    by_resolution = said.values_by_resolution
    return Rule(
        field=field,
        to=to,
        values=None if said.values is None else MappingProxyType(said.values),
        values_by_resolution=None
        if by_resolution is None
        else MappingProxyType({name: MappingProxyType(table) for name, table in by_resolution.items()}),
        text=said.text,
        item=said.item,
        single=said.single,
        items_max=items_max(said),
        only=None if said.only is None else frozenset(said.only),
        because=said.because,
        omit_for_resolutions=frozenset(said.omit_for_resolutions),
    )


def items_max(said: InputRule) -> int | None:
    """How many items of a list this rule can pass on; None: any number."""
    if said.single:
        return 1
    return len(said.members) if len(said.members) > 1 else said.files_max


def path_of(member: str) -> Path:
    return tuple(int(step) if step.isdigit() else step for step in member.split("."))


_DECIDING = {"native_model", "native_model_by_resolution", "endpoint", "with_input_file", "with_last_frame"}


def _mapping_version(entry: ProviderEntryFile) -> str:
    """A digest of whatever decides about the native request, so that nobody has to remember to count."""
    decides = entry.model_dump(mode="json", include=_DECIDING)
    for name, target in entry.targets.items():
        rules = entry.rules(target).items()  # in order: it is that of the items of a list
        decides[f"input {name}"] = [[field, said.model_dump(mode="json")] for field, said in rules]
        decides[f"constants {name}"] = list(entry.constants_at(target).items())
    canonical = json.dumps(decides, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]
