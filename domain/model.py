"""The catalogue as frozen records: what a model accepts, costs, and how each provider is asked for it.

Built by `catalog/loader.py` only, which has checked everything; nothing here is checked twice.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from functools import cached_property
from typing import Any

from domain.errors import ModelNotFound
from domain.fields import INPUT_FILE, LAST_FRAME, Field, Scalar
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
        if self.tiers is None:
            assert self.flat_microcredits is not None
            return self.flat_microcredits
        by_resolution = self.tiers.get(str(resolution))
        if by_resolution is not None:
            return by_resolution  # without audio tiers, audio does not change the price
        return self.tiers[f"{resolution}_{'audio' if audio else 'noaudio'}"]


@dataclass(frozen=True)
class Price:
    """One entry of a price book. Never overwritten: a new price is a new entry with a later day."""

    version: str  # "<model>@<number>", recorded with every quote
    effective: date  # first day (UTC) on which it holds
    unit: Unit
    rates: Rates
    basis: str  # babysea: published; provider: the provider's list price; placeholder: to be set by the operator


@dataclass(frozen=True)
class PriceBook:
    """The prices of one model, oldest first, never empty."""

    entries: tuple[Price, ...]

    def at(self, day: date | None = None) -> Price:
        """The price that holds on `day`; without one, the newest entry. Before all of them, the oldest."""
        if day is None:
            return self.entries[-1]
        return next((price for price in reversed(self.entries) if price.effective <= day), self.entries[0])


@dataclass(frozen=True, slots=True)
class Rule:
    """What becomes of one public field at one provider.

    With `to`, the native member of that name gets the value: as it is, looked up in `values`, or formatted by `text`.
    Without, the provider has no such parameter, and `because` says why nothing is lost. `only` lists the values that
    can be served then; a value outside of `values` or `only` cannot be served at all.
    """

    field: str
    to: str | None
    values: Mapping[Scalar, Any] | None = None
    text: str | None = None  # "{}s": 8 becomes "8s"
    single: bool = False  # of a list: the provider takes one item, not a list
    only: frozenset[Scalar] | None = None
    because: str | None = None
    omit_for_resolutions: frozenset[str] = frozenset()  # the endpoint of these resolutions has no such parameter

    def serves(self, value: Any) -> bool:
        """Whether the provider can honour this value of the field."""
        if isinstance(value, list):
            return self.only is None and (len(value) == 1 or not self.single)
        return (self.only is None or value in self.only) and (self.values is None or value in self.values)


@dataclass(frozen=True)
class NativeTarget:
    """Where a provider is asked, and what is different there from the rules of its entry."""

    native_model: str
    by_resolution: Mapping[str, str] = field(default_factory=dict)  # where it is non-empty, the resolution chooses
    members: Mapping[str, str] = field(default_factory=dict)  # fields whose native member has another name here
    omits: Mapping[str, str] = field(default_factory=dict)  # fields that are not sent here, and why nothing is lost

    def model_at(self, resolution: str | None) -> str:
        return self.by_resolution.get(str(resolution), self.native_model)


@dataclass(frozen=True)
class ProviderEntry:
    """How one provider is asked for one model."""

    provider: str
    target: NativeTarget
    with_input_file: NativeTarget  # the same as `target` where files change nothing
    with_last_frame: NativeTarget
    rules: tuple[Rule, ...]  # in the order of the model's fields: one for each, but the provider order
    constants: Mapping[str, Any]
    delivery: Delivery
    cost: Rates | None  # what the provider is expected to charge; None: as much as we do
    mapping_version: str  # changes with any of the above that changes the native request
    confidence: str

    @property
    def native_model(self) -> str:
        """What the library and the health checks call it."""
        return self.target.native_model

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
    input_files_max: int  # 0: it accepts none
    last_frame: bool  # accepts one beside the first
    prices: PriceBook
    providers: tuple[ProviderEntry, ...]
    confidence: str

    @cached_property
    def provider_names(self) -> tuple[str, ...]:
        return tuple(entry.provider for entry in self.providers)

    @cached_property
    def field_names(self) -> frozenset[str]:
        return frozenset(field.name for field in self.fields)

    def field(self, name: str) -> Field:
        return next(field for field in self.fields if field.name == name)

    def entry(self, provider: str) -> ProviderEntry:
        """Raises KeyError for a provider that does not host this model."""
        return self._entries[provider]

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
    """All models and providers, each sorted by identifier."""

    models: Mapping[str, Model]
    providers: Mapping[str, ProviderFacts]

    def model(self, identifier: str) -> Model:
        """Identifiers are compared exactly, but for one slash at the end. Raises ModelNotFound."""
        model = self.models.get(identifier.removesuffix("/"))
        if model is None:
            near = difflib.get_close_matches(identifier[:80], self.models, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise ModelNotFound(f"There is no such model.{hint}", details={"suggestion": near[0]} if near else None)
        return model
