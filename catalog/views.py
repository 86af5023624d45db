"""The library as the public API shows it (JSON-ready)."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from typing import Any

from domain.errors import ModelUnpriced
from domain.estimating import Estimate
from domain.fields import GENERATE_AUDIO
from domain.model import Catalog, Model, ProviderFacts, Unit
from domain.pricing import credits

PAUSED = "paused"
UNAVAILABLE = "unavailable"


def library_models(catalog: Catalog, *, on: date | None = None) -> dict[str, Any]:
    models = [library_model(model, on=on) for model in left_on(catalog, on).models.values()]
    return {"models": models, "models_total": len(models)}


def left_on(catalog: Catalog, day: date | None) -> Catalog:
    """Without what has retired by that day (UTC); all of it where no day is given."""
    return catalog if day is None else catalog.on(day)


def library_model(model: Model, *, on: date | None = None) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "generation_prompt": model.prompt,
        "generation_ratio": list(model.ratios),
        "generation_output_format": list(model.output_formats),
        "generation_output_number": model.outputs_max,
        "generation_input_file": model.input_files_max > 0,
    }
    if model.durations:
        schema["generation_duration"] = list(model.durations)
    if model.resolutions:
        default_first = sorted(model.resolutions, key=lambda resolution: resolution != model.default_resolution)
        schema["generation_resolution"] = default_first  # published clients take the first for the default
    pricing = model_pricing(model, on=on)
    audio_priced = isinstance(pricing, dict) and any(tier.endswith("_audio") for tier in pricing)
    if model.audio and audio_priced:
        schema["generation_generate_audio"] = True
    return {
        "model_type": str(model.media_type),
        "model_identifier": model.identifier,
        **({} if pricing is None else {"model_pricing": pricing}),
        "model_supported_provider": list(model.default_order),
        "schema": schema,
        "specific_schema": ([GENERATE_AUDIO] if model.audio and not audio_priced else []) + list(model.extra_names),
    }


def model_pricing(model: Model, *, on: date | None = None) -> float | dict[str, float] | None:
    """Credits per unit: one number, or by tier; None where it has no price on that day."""
    try:
        rates = model.prices.at(on).rates
    except ModelUnpriced:
        return None
    if rates.tiers is not None:
        return {tier: credits(amount) for tier, amount in rates.tiers.items()}
    return credits(rates.at(None, audio=False))


def cheapest_price(model: Model, *, on: date | None = None) -> float | None:
    """Where only one number fits: the cheapest tier."""
    pricing = model_pricing(model, on=on)
    return min(pricing.values()) if isinstance(pricing, dict) else pricing


def library_providers(
    catalog: Catalog, paused: Collection[str] = (), *, available: Collection[str] | None = None
) -> dict[str, Any]:
    """`paused` by the operator, and `available`, those that this deployment has a key for, count for more than what the
    catalogue says of a provider. Without `available` nothing is known of keys."""
    providers = [
        library_provider(provider, catalog) | _switched(provider.identifier, paused, available)
        for provider in catalog.providers.values()
    ]
    return {"providers": providers, "providers_total": len(providers)}


def _switched(provider: str, paused: Collection[str], available: Collection[str] | None) -> dict[str, str]:
    if provider in paused:
        return {"provider_status": PAUSED}
    return {"provider_status": UNAVAILABLE} if available is not None and provider not in available else {}


def library_provider(provider: ProviderFacts, catalog: Catalog) -> dict[str, Any]:
    hosted = sum(provider.identifier in model.provider_names for model in catalog.models.values())
    return {
        "provider_id": provider.identifier,
        "provider_name": provider.name,
        "provider_description": provider.description,
        "provider_website": provider.website,
        "provider_docs": provider.docs,
        "provider_status": provider.status,
        "babysea_implementation": {
            "delivery_method": provider.delivery_method,
            "cancel_method": provider.cancel_method,
            "webhook_verification": provider.webhook_verification,
            "error_mapping": "bse_error_codes",
            "cost_tracking": "per_generation_usd",
            "schema_conversion": "unified_to_native",
            "failover_strategy": "sequential_provider_chain",
            "health_monitoring": "circuit_breaker",
            "supported_media_types": [str(media_type) for media_type in provider.media_types],
            "supported_models_total": hosted,
        },
    }


def health_models(catalog: Catalog, available_providers: Collection[str], *, on: date | None = None) -> dict[str, Any]:
    models = [health_model(model, available_providers, on=on) for model in left_on(catalog, on).models.values()]
    healthy = all(any(provider["available"] for provider in model["providers"].values()) for model in models)
    return {"service": "models", "healthy": healthy, "models_total": len(models), "models": models}


def health_model(model: Model, available_providers: Collection[str], *, on: date | None = None) -> dict[str, Any]:
    pricing = cheapest_price(model, on=on)
    return {
        "model_identifier": model.identifier,
        "model_type": str(model.media_type),
        **({} if pricing is None else {"model_pricing": pricing}),
        "providers": {
            entry.provider: {"available": entry.provider in available_providers, "raw_model_id": entry.native_model}
            for entry in model.providers
        },
    }


def estimate_view(estimate: Estimate, balance_microcredits: int | None) -> dict[str, Any]:
    """An estimate beside the balance; without one, the three fields about it are null."""
    quote, balance = estimate.quote, balance_microcredits
    shown: dict[str, Any] = {
        "model_identifier": estimate.model,
        "model_type": str(estimate.media_type),
        "assets_count": quote.count,
    }
    if quote.unit is Unit.SECOND:
        shown["cost_per_second"] = credits(quote.unit_price_microcredits)
        shown["duration_seconds"] = estimate.duration_s
        if estimate.resolution is not None:
            shown["resolution"] = estimate.resolution
    return shown | {
        "cost_per_generation": credits(quote.per_generation_microcredits),
        "cost_total_consumed": credits(quote.microcredits),
        "credit_balance": None if balance is None else credits(balance),
        "credit_balance_can_afford": None if balance is None else balance >= quote.microcredits,
        "credit_balance_max_affordable": None if balance is None else estimate.affordable(balance),
    }
