"""The catalogue as frozen records: what a model accepts, costs, and how each provider is asked for it.

Built by `catalog/loader.py` only, which has checked everything; nothing here is checked twice.
"""

from __future__ import annotations

import difflib
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType
from typing import Any

from domain.errors import ModelNotFound, ModelUnpriced
from domain.fields import INPUT_FILE, LAST_FRAME, PROMPT, PROVIDER_ORDER, Field, Scalar
from domain.generation import Delivery, MediaType


class Unit(StrEnum):
    """What a price is for."""

    GENERATION = "generation"  # one output file
    SECOND = "second"  # one second of one output file


@dataclass(frozen=True)
class Rates:
    """Micro-credits per unit: one for all, or by tier: `<resolution>`, `<resolution>_audio`, `<resolution>_noaudio`."""

    flat_microcredits: int | None = None
    tiers: Mapping[str, int] | None = None

    def at(self, resolution: str | None, *, audio: bool) -> int:
        """Raises ModelUnpriced for a tier without a price."""
        if self.tiers is None:
            assert self.flat_microcredits is not None
            return self.flat_microcredits
        with_audio = f"{resolution}_{'audio' if audio else 'noaudio'}"
        for tier in (str(resolution), with_audio):  # without audio tiers, audio does not change the price
            if tier in self.tiers:
                return self.tiers[tier]
        raise ModelUnpriced(f"There is no price for {with_audio}.")


@dataclass(frozen=True)
class Price:
    """One entry of a price book. Never overwritten: a new price is a new entry with a later day."""

    version: str  # "<model>@<number>", recorded with every quote
    effective: date  # first day (UTC) on which it holds
    unit: Unit
    rates: Rates
    # babysea: published; provider: the provider's list price; placeholder: to be set by the operator; operator: it was
    basis: str


@dataclass(frozen=True)
class PriceBook:
    """The prices of one model, oldest first, never empty."""

    entries: tuple[Price, ...]

    def at(self, day: date | None = None) -> Price:
        """The price that holds on `day`; without one, the newest entry. Raises ModelUnpriced for a day before all."""
        if day is None:
            return self.entries[-1]
        for price in reversed(self.entries):
            if price.effective <= day:
                return price
        raise ModelUnpriced(f"There is no price before {self.entries[0].effective}.")


Path = tuple[str | int, ...]  # of a member of a native request: ("input", "messages", 0, "content")


@dataclass(frozen=True, slots=True)
class Rule:
    """What becomes of one public field at one provider.

    With `to`, the native member there gets the value: as it is, looked up in a table, formatted by `text`, or put into
    the template `item` that is added to the list there. With several, the value is a list, and each gets one item.
    Without, the provider has no such parameter, and `because` says why nothing is lost. `only` lists the values that
    can be served then; a value outside of the tables or `only` cannot be served at all.
    """

    field: str
    to: tuple[Path, ...] = ()
    values: Mapping[Scalar, Any] | None = None
    values_by_resolution: Mapping[str, Mapping[Scalar, Any]] | None = None  # the same, where it depends on that, too
    text: str | None = None  # "{}s": 8 becomes "8s"
    item: Any = None  # {"uri": "{}"}: a template, for each value
    single: bool = False  # of a list: the provider takes one item, not a list
    items_max: int | None = None  # of a list: as many as the provider takes
    only: frozenset[Scalar] | None = None
    because: str | None = None
    omit_for_resolutions: frozenset[str] = frozenset()  # the endpoint of these resolutions has no such parameter

    def serves(self, value: Any, resolution: str | None = None) -> bool:
        """Whether the provider can honour this value of the field, together with that resolution."""
        if isinstance(value, list):
            return self.only is None and (self.items_max is None or len(value) <= self.items_max)
        table = self.table(resolution)
        return (self.only is None or value in self.only) and (table is None or value in table)

    def table(self, resolution: str | None) -> Mapping[Scalar, Any] | None:
        """Value to native value, where it is looked up. None at a resolution that the provider does not serve at all,
        which is for the rule of the resolution to say."""
        if self.values_by_resolution is not None:
            return self.values_by_resolution.get(str(resolution))
        return self.values


@dataclass(frozen=True)
class NativeTarget:
    """Where and how a provider is asked, in one of the cases: no file, with files, with a last frame."""

    native_model: str
    rules: tuple[Rule, ...]  # in the order of writing: one for each field of the model, but the provider order
    endpoint: str = ""  # the path or kind of call, where the native model does not tell it
    by_resolution: Mapping[str, str] = field(default_factory=dict)  # where it is non-empty, the resolution chooses
    constants: tuple[tuple[Path, Any], ...] = ()

    def model_at(self, resolution: str | None) -> str:
        return self.by_resolution.get(str(resolution), self.native_model)


@dataclass(frozen=True)
class ProviderEntry:
    """How one provider is asked for one model."""

    provider: str
    target: NativeTarget
    with_input_file: NativeTarget  # the same as `target` where files change nothing
    with_last_frame: NativeTarget
    delivery: Delivery
    cost: Rates | None  # what the provider is expected to charge; None: as much as we do
    mapping_version: str  # changes with any of the above that changes the native request
    confidence: str  # verified, likely, unverified: how sure the mapping is
    default: bool = True  # in the default order; otherwise only where the caller names it
    retires_on: date | None = None  # from that day (UTC) on nothing is sent there

    @property
    def native_model(self) -> str:
        """What the library and the health checks call it."""
        return self.target.native_model

    @property
    def targets(self) -> tuple[NativeTarget, ...]:
        return (self.target, self.with_input_file, self.with_last_frame)

    def target_for(self, params: Mapping[str, Any]) -> NativeTarget:
        if LAST_FRAME in params:
            return self.with_last_frame
        return self.with_input_file if INPUT_FILE in params else self.target


@dataclass(frozen=True)
class Model:
    """One entry of the library. `providers` are in the default order."""

    identifier: str
    media_type: MediaType
    name: str
    lab: str
    fields: tuple[Field, ...]
    extra_names: tuple[str, ...]
    ratios: tuple[str, ...]
    output_formats: tuple[str, ...]
    outputs_max: int
    durations: tuple[int, ...]
    durations_by_resolution: Mapping[str, tuple[int, ...]]  # narrower lists; other resolutions have them all
    resolutions: tuple[str, ...]
    default_resolution: str | None
    audio: bool  # can be switched on and off
    input_files_min: int  # above 0: the files are required
    input_files_max: int  # 0: it accepts none
    input_kinds: tuple[MediaType, ...]  # of the first file, the second ...; the last one is also that of all others
    last_frame: bool  # accepts one beside the first
    duration_of_input: bool  # the duration is that of the given video: it is billed, not sent
    prices: PriceBook
    providers: tuple[ProviderEntry, ...]
    confidence: str
    identifier_evidence: str  # published: the identifier is known from the public catalogue; assumed: by its pattern
    retires_on: date | None = None  # from that day (UTC) on it is not offered

    @property
    def prompt(self) -> bool:
        """Whether it has one: some models are told what to do by files alone."""
        return PROMPT in self.field_names

    @cached_property
    def provider_names(self) -> tuple[str, ...]:
        """All that may be named."""
        return tuple(entry.provider for entry in self.providers)

    @cached_property
    def default_order(self) -> tuple[str, ...]:
        """Those that are tried when the caller names none."""
        return tuple(entry.provider for entry in self.providers if entry.default)

    @cached_property
    def field_names(self) -> frozenset[str]:
        return frozenset(field.name for field in self.fields)

    def field(self, name: str) -> Field:
        return next(field for field in self.fields if field.name == name)

    def entry(self, provider: str) -> ProviderEntry:
        """Raises KeyError for a provider that does not host this model."""
        return self._entries[provider]

    def on(self, day: date) -> Model | None:
        """What is left of it on that day; None when it is retired, or nobody hosts it by default any more."""
        left = tuple(entry for entry in self.providers if entry.retires_on is None or day < entry.retires_on)
        if (self.retires_on is not None and day >= self.retires_on) or not any(entry.default for entry in left):
            return None
        if len(left) == len(self.providers):
            return self
        names = tuple(entry.provider for entry in left)
        fields = tuple(replace(f, choices=names) if f.name == PROVIDER_ORDER else f for f in self.fields)
        return replace(self, providers=left, fields=fields)

    def input_kind(self, index: int) -> MediaType:
        """Whether the input file at this place of the list, from 0, is an image or a video."""
        return self.input_kinds[min(index, len(self.input_kinds) - 1)]

    def durations_at(self, resolution: str | None) -> tuple[int, ...]:
        return self.durations_by_resolution.get(str(resolution), self.durations)

    @cached_property
    def _entries(self) -> dict[str, ProviderEntry]:
        return {entry.provider: entry for entry in self.providers}


@dataclass(frozen=True)
class ProviderFacts:
    """What the library tells of a provider."""

    identifier: str
    name: str
    description: str
    website: str
    docs: str
    status: str  # active, beta, paused
    delivery_method: str
    cancel_method: str | None
    webhook_verification: str | None
    media_types: tuple[MediaType, ...]


@dataclass(frozen=True)
class Catalog:
    """All models and providers, each sorted by identifier. `retired` names models that are not offered any more."""

    models: Mapping[str, Model]
    providers: Mapping[str, ProviderFacts]
    retired: frozenset[str] = frozenset()

    def model(self, identifier: str) -> Model:
        """Identifiers are compared exactly, but for one slash at the end. Raises ModelNotFound."""
        name = identifier.removesuffix("/")
        model = self.models.get(name)
        if model is None and name in self.retired:
            raise ModelNotFound(f"{name} is retired and not offered any more.")
        if model is None:
            near = difflib.get_close_matches(identifier[:80], self.models, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise ModelNotFound(f"There is no such model.{hint}", details={"suggestion": near[0]} if near else None)
        return model

    def on(self, day: date) -> Catalog:
        """What is left of it on that day (UTC): without the models and the entries that have retired by then."""
        passed = bisect_right(self._retirements, day)
        if not passed:
            return self
        if passed not in self._left:
            left = {name: model.on(day) for name, model in self.models.items()}
            self._left[passed] = Catalog(
                models=MappingProxyType({name: model for name, model in left.items() if model is not None}),
                providers=self.providers,
                retired=frozenset(name for name, model in left.items() if model is None),
            )
        return self._left[passed]

    @cached_property
    def _retirements(self) -> list[date]:
        """The days on which something ends, in order."""
        models = self.models.values()
        ends = {model.retires_on for model in models} | {e.retires_on for model in models for e in model.providers}
        return sorted(end for end in ends if end is not None)

    @cached_property
    def _left(self) -> dict[int, Catalog]:
        """By how many of those days have passed."""
        return {}
