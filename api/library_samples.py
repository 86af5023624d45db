"""Answers of the library and the estimate as the reference shows them: each with one model or provider."""

from __future__ import annotations

from typing import Any

from api.samples import VIDEO_MODEL, success

ESTIMATE_QUERY: dict[str, Any] = {"count": 2, "duration": 5, "resolution": "720p"}
ESTIMATE = success(
    "Estimate",
    {
        "model_identifier": VIDEO_MODEL,
        "model_type": "video",
        "assets_count": 2,
        "cost_per_second": 0.04,
        "duration_seconds": 5,
        "resolution": "720p",
        "cost_per_generation": 0.2,
        "cost_total_consumed": 0.4,
        "credit_balance": 18.415,
        "credit_balance_can_afford": True,
        "credit_balance_max_affordable": 92,
    },
)
MODELS = success(
    "Model library",
    {
        "models": [
            {
                "model_type": "video",
                "model_identifier": VIDEO_MODEL,
                "model_pricing": {"360p": 0.03, "540p": 0.03, "720p": 0.04, "1080p": 0.08},
                "model_supported_provider": ["replicate", "fal"],
                "schema": {
                    "generation_prompt": True,
                    "generation_ratio": ["1:1", "16:9", "9:16"],
                    "generation_output_format": ["mp4"],
                    "generation_output_number": 1,
                    "generation_input_file": True,
                    "generation_duration": [5, 8],
                    "generation_resolution": ["720p", "360p", "540p", "1080p"],
                },
                "specific_schema": ["generation_seed", "generation_negative_prompt"],
            }
        ],
        "models_total": 1,
    },
)
PROVIDERS = success(
    "Provider library",
    {
        "providers": [
            {
                "provider_id": "replicate",
                "provider_name": "Replicate",
                "provider_description": "Hosted models of many labs behind one predictions API.",
                "provider_website": "https://replicate.com",
                "provider_docs": "https://replicate.com/docs",
                "provider_status": "active",
                "babysea_implementation": {
                    "delivery_method": "webhook_with_polling",
                    "cancel_method": "prediction_cancel_api",
                    "webhook_verification": "hmac_sha256",
                    "error_mapping": "bse_error_codes",
                    "cost_tracking": "per_generation_usd",
                    "schema_conversion": "unified_to_native",
                    "failover_strategy": "sequential_provider_chain",
                    "health_monitoring": "circuit_breaker",
                    "supported_media_types": ["image", "video"],
                    "supported_models_total": 13,
                },
            }
        ],
        "providers_total": 1,
    },
)
