"""Catalogue and ask to a request that is ready to run: normalised, priced, compiled for each candidate. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime
from typing import Any

from domain.errors import ProviderUnavailable
from domain.fields import OUTPUT_FORMAT, OUTPUT_NUMBER, values_of
from domain.generation import Candidate, GenerationRequest, MediaType
from domain.mapping import CannotServe, compile_native
from domain.model import Catalog, Model, Rule
from domain.normalization import normalize, order_of
from domain.pricing import expected_cost, quote
from domain.problems import Problem, refuse


def plan_generation(
    catalog: Catalog,
    *,
    account_id: str,
    api_key_id: str | None,
    region: str,
    model_identifier: str,
    media_type: MediaType,
    body: object,
    available_providers: Collection[str],
    generation_id: str,
    admit_by: float,
    deadlines: Mapping[MediaType, int],
    replay_of: str | None = None,
) -> GenerationRequest:
    """Turn an ask into a request. `admit_by` also says which day's price holds.

    Raises ModelNotFound, ModelTypeMismatch, InvalidInput, ParameterOutOfRange or UnsupportedProviderOrder for the
    caller's mistakes, and ProviderUnavailable when no provider that the ask allows has a key here.
    """
    model = catalog.model(model_identifier)
    params = normalize(model, media_type, body)
    count: int = params[OUTPUT_NUMBER]
    day = datetime.fromtimestamp(admit_by, UTC).date()
    price = quote(model, params, count, on=day)
    return GenerationRequest(
        generation_id=generation_id,
        account_id=account_id,
        region=region,
        model=model.identifier,
        media_type=model.media_type,
        params=params,
        output_count=count,
        output_format=params[OUTPUT_FORMAT],
        quote_microcredits=price.microcredits,
        price_version=price.price_version,
        candidates=_candidates(model, params, available_providers, count, day),
        deadline_s=deadlines[model.media_type],
        admit_by=admit_by,
        api_key_id=api_key_id,
        replay_of=replay_of,
    )


def _candidates(
    model: Model, params: dict[str, Any], available_providers: Collection[str], count: int, day: date
) -> list[Candidate]:
    """One for each available provider that can honour the whole ask, in the order that was asked for."""
    order = [provider for provider in order_of(model, params) if provider in available_providers]
    if not order:
        raise ProviderUnavailable(f"No provider for {model.identifier} is available here.")
    candidates = []
    refused: list[CannotServe] = []
    for entry in map(model.entry, order):
        try:
            native_model, native_input = compile_native(entry, params)
        except CannotServe as cannot:
            refused.append(cannot)
            continue
        candidates.append(
            Candidate(
                provider=entry.provider,
                native_model=native_model,
                native_input=native_input,
                delivery=entry.delivery,
                cost_microcredits=expected_cost(model, entry, params, count, on=day),
                mapping_version=entry.mapping_version,
            )
        )
    if not candidates:
        refuse([_not_here(model, order, field) for field in dict.fromkeys(cannot.field for cannot in refused)])
    return candidates


def _not_here(model: Model, providers: list[str], field: str) -> Problem:
    """The value is one of the model's, but no provider that is left can make it."""
    rules = [rule for name in providers for rule in model.entry(name).rules if rule.field == field]
    allowed = tuple(v for v in values_of(model.field(field)) if any(_serves(rule, v) for rule in rules))
    chosen = ", ".join(providers)
    return Problem(
        field, "not_available_here", f"This {field} is not available from {chosen}.", allowed=allowed or None
    )


def _serves(rule: Rule, value: Any) -> bool:
    return (rule.only is None or value in rule.only) and (rule.values is None or value in rule.values)
