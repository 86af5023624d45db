"""Catalogue and ask to a request that is ready to run: normalised, priced, compiled for each candidate. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any

from domain.addresses import PUBLIC_ONLY, AddressRules
from domain.decision import decision, unable
from domain.errors import ControlPlaneError, ProviderPaused, ProviderRefusal, ProviderUnavailable
from domain.fields import FASTEST, OUTPUT_FORMAT, OUTPUT_NUMBER, PROVIDER_ORDER, RESOLUTION, values_of
from domain.generation import Candidate, Decision, GenerationRequest, MediaType, Skipped, SkipReason
from domain.mapping import CannotServe, compile_native
from domain.model import Catalog, Model
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
    in_flight_max: int | None = None,
    replay_of: str | None = None,
    paused_providers: Collection[str] = (),
    open_breakers: Collection[str] = (),
    addresses: AddressRules = PUBLIC_ONLY,
    moderation_failover: bool = False,
) -> GenerationRequest:
    """Turn an ask into a request. `admit_by` also says which day's price holds and what has retired by then,
    `addresses` which input files may be named; the files themselves have not been looked at yet. Providers of
    `open_breakers` are tried last, unless the ask names the order itself.

    Raises ModelNotFound, ModelUnpriced, ModelTypeMismatch, InvalidInput, ParameterOutOfRange or
    UnsupportedProviderOrder for the caller's mistakes; ProviderUnavailable when no provider that the ask allows has a
    key here, and ProviderPaused when all that could do it are paused. Both list every provider of the order in
    `provider_errors`.
    """
    day = datetime.fromtimestamp(admit_by, UTC).date()
    model = catalog.on(day).model(model_identifier)
    params = normalize(model, media_type, body, addresses)
    count: int = params[OUTPUT_NUMBER]
    price = quote(model, params, count, on=day)
    sent = body.keys() if isinstance(body, dict) else ()
    whole = catalog.models[model.identifier]
    demoted = open_breakers if params[PROVIDER_ORDER] == FASTEST else ()
    candidates, decided = _candidates(
        whole, model, params, sent, available_providers, paused_providers, demoted, count, day
    )
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
        candidates=candidates,
        deadline_s=deadlines[model.media_type],
        admit_by=admit_by,
        api_key_id=api_key_id,
        replay_of=replay_of,
        in_flight_max=in_flight_max,
        moderation_failover=moderation_failover,
        decision=decided,
    )


def _candidates(
    whole: Model,
    model: Model,
    params: dict[str, Any],
    sent: Collection[str],
    available_providers: Collection[str],
    paused_providers: Collection[str],
    demoted: Collection[str],
    count: int,
    day: date,
) -> tuple[list[Candidate], Decision]:
    """One for each available provider that can honour the whole ask and is not paused, in the order asked for,
    the demoted ones last; and why the others of the order are none. `whole` is the model with what has retired."""
    named = order_of(model, params)
    order = [provider for provider in named if provider in available_providers]
    if not order:
        raise ProviderUnavailable(
            f"No provider for {model.identifier} is available here.", provider_errors=_refusals(named, paused=())
        )
    skipped = [Skipped(name, SkipReason.RETIRED) for name in order_of(whole, params) if name not in named]
    skipped += [Skipped(name, SkipReason.UNAVAILABLE) for name in named if name not in order]
    candidates = []
    paused: list[str] = []
    refused: list[CannotServe] = []
    for entry in map(model.entry, order):
        try:
            native = compile_native(entry, params)
        except CannotServe as cannot:
            refused.append(cannot)
            skipped.append(unable(model, params, cannot))
            continue
        if entry.provider in paused_providers:
            paused.append(entry.provider)
            skipped.append(Skipped(entry.provider, SkipReason.PAUSED))
            continue
        candidates.append(
            Candidate(
                provider=entry.provider,
                native_model=native.native_model,
                native_input=native.native_input,
                delivery=entry.delivery,
                cost_microcredits=expected_cost(model, entry, params, count, on=day),
                mapping_version=entry.mapping_version,
                endpoint=native.endpoint,
            )
        )
    if paused and not candidates:
        raise ProviderPaused(
            f"Every provider of {model.identifier} that could serve this is paused by the operator.",
            provider_errors=_refusals([name for name in named if name in paused or name not in order], paused),
        )
    if not candidates:
        refuse([_not_here(model, order, params, field) for field in dict.fromkeys(cannot.field for cannot in refused)])
    candidates.sort(key=lambda candidate: candidate.provider in demoted)  # stable
    chosen = [model.entry(candidate.provider) for candidate in candidates]
    last = [entry.provider for entry in chosen if entry.provider in demoted]
    if len(last) == len(chosen):
        last = []  # nobody is tried before them
    return candidates, decision(model, params, sent, chosen, skipped, last)


def _refusals(providers: Iterable[str], paused: Collection[str]) -> list[ProviderRefusal]:
    """Why each of them is no candidate: it is paused, or this deployment has no key for it."""
    return [
        _refusal(provider, ProviderPaused, f"The operator has paused {provider}.")
        if provider in paused
        else _refusal(provider, ProviderUnavailable, f"This deployment has no key for {provider}.")
        for provider in providers
    ]


def _refusal(provider: str, kind: type[ControlPlaneError], message: str) -> ProviderRefusal:
    return ProviderRefusal(provider, kind.code, kind.type, message, kind.retryable)


def _not_here(model: Model, providers: list[str], params: Mapping[str, Any], field: str) -> Problem:
    """The value is one of the model's, but no provider that is left can make it."""
    targets = [model.entry(name).target_for(params) for name in providers]
    rules = [rule for target in targets for rule in target.rules if rule.field == field]
    resolution = params.get(RESOLUTION)
    allowed = tuple(v for v in values_of(model.field(field)) if any(rule.serves(v, resolution) for rule in rules))
    chosen = ", ".join(providers)
    return Problem(
        field, "not_available_here", f"This {field} is not available from {chosen}.", allowed=allowed or None
    )
