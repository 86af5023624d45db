"""Answers as the reference shows them: one image and one video, from the request to the finished file, and the rest."""

from __future__ import annotations

from typing import Any

IMAGE_ID = "2d6b8f0e-94a1-4f0c-8a57-0c3e6b1d9f22"
VIDEO_ID = "5f0c8d11-7b3e-4f56-9c0a-1de2a46b8870"
ACCOUNT_ID = "9a4e3c58-1b07-4d2f-8e66-70f5c1d2ab34"
IMAGE_MODEL, VIDEO_MODEL = "bfl/flux-schnell", "pixverse/v5"
IMAGE_BODY: dict[str, Any] = {"generation_prompt": "Harbour at dawn", "generation_ratio": "16:9"}
VIDEO_BODY: dict[str, Any] = {"generation_prompt": "Waves against a pier", "generation_duration": 5}
FILE_URL = "https://files.example.com/us/0.png?expires=1780389330&signature=..."


def success(message: str, data: dict[str, Any], **beside_data: int) -> dict[str, Any]:
    return {
        "status": "success",
        "request_id": "req_3f0d2c7a9be14c5f8d61a0b47e52c913",
        "message": message,
        "timestamp": "2026-06-02T08:15:30.412Z",
        **beside_data,
        "data": data,
    }


def accepted(generation_id: str, model: str) -> dict[str, Any]:
    return success(
        "Generation started",
        {
            "model_identifier": model,
            "generation_provider_order": ["replicate", "fal"],
            "generation_prediction_id": "0b6f6a2e-3f59-5a53-9a3e-7d1a53b9c0f1",
            "generation_id": generation_id,
            "generation_initialized": True,
        },
    )


IMAGE_ACCEPTED = accepted(IMAGE_ID, IMAGE_MODEL)
VIDEO_ACCEPTED = accepted(VIDEO_ID, VIDEO_MODEL)

_FINISHED: dict[str, Any] = {
    "account_id": ACCOUNT_ID,
    "generation_id": IMAGE_ID,
    "model_identifier": IMAGE_MODEL,
    "generation_provider_order": ["replicate", "fal"],
    "generation_provider_used": "replicate",
    "generation_prediction_id": "0b6f6a2e-3f59-5a53-9a3e-7d1a53b9c0f1",
    "generation_status": "succeeded",
    "generation_input_file": None,
    **IMAGE_BODY,
    "generation_output_format": "png",
    "generation_output_number": 1,
    "generation_output_file": [FILE_URL],
    "generation_created_at": "2026-06-02T08:15:24.101Z",
    "generation_started_at": "2026-06-02T08:15:24.560Z",
    "generation_completed_at": "2026-06-02T08:15:29.847Z",
    "generation_metrics_total_time": 5.746,
    "generation_metrics_predict_time": 3.812,
}

FINISHED = success("Content", _FINISHED)
LISTED = success("Content list", {"generations": [_FINISHED]}, total=1, limit=50, offset=0)
CANCELED = success(
    "Generation canceled",
    {
        "generation_id": IMAGE_ID,
        "generation_status": "canceled",
        "provider_cancel_sent": True,
        "credits_refunded": True,
    },
)
DELETED = success("Generation deleted", {"generation_id": IMAGE_ID, "files_deleted": 1})

KEY_STATUS = success(
    "Key is valid",
    {
        "account_id": ACCOUNT_ID,
        "apikey_id": "c92f4d10-77b8-4a0d-8b5e-1f2a3c4d5e6f",
        "apikey_name": "worker-us",
        "apikey_prefix": "bye_Qk7Zd",
        "apikey_created_at": "2026-05-01T09:00:00.000Z",
        "apikey_last_used_at": "2026-06-02T08:15:30.000Z",
        "apikey_expires_at": None,
    },
)
USAGE = success(
    "Usage",
    {
        "account_id": ACCOUNT_ID,
        "usage_period_days": 7,
        "usage_credit_balance": 18.415,
        "usage_total_requests": 42,
        "usage_total_success": 39,
        "usage_total_client_errors": 2,
        "usage_total_server_errors": 1,
        "usage_total_generations": 11,
        "usage_total_provider_submissions": 13,
        "usage_total_estimated_cost": 0.061,
        "usage_endpoints": [
            {
                "endpoint": "/v1/content/{generation_id}",
                "total_requests": 42,
                "success_count": 39,
                "client_error_count": 2,
                "server_error_count": 1,
                "error_codes": {"BSE3001": 2, "BSE5003": 1},
            }
        ],
        "usage_providers": [
            {
                "provider": "replicate",
                "total_submissions": 13,
                "used_count": 10,
                "cancelled_count": 1,
                "discarded_count": 0,
                "failed_count": 2,
                "total_estimated_cost": 0.061,
                "wasted_estimated_cost": 0.009,
            }
        ],
    },
)
ACCOUNT = success(
    "Account",
    {
        "account_id": ACCOUNT_ID,
        "account_name": "North Pier Studio",
        "account_email": "ops@example.com",
        "account_is_personal": False,
        "account_picture_url": None,
        "account_created_at": "2026-03-11T14:02:00.000Z",
    },
)
BILLING = success(
    "Billing",
    {
        "account_id": ACCOUNT_ID,
        "billing_plan": None,
        "billing_credit_balance": 0.82,
        "billing_subscription_status": None,
        "billing_cancel_at_period_end": None,
        "billing_currency": None,
        "billing_period_starts_at": None,
        "billing_period_ends_at": None,
        "billing_created_at": None,
        "billing_updated_at": None,
    },
)


def _provider_health(provider: str, status: str, *, successes: int, failures: int) -> dict[str, Any]:
    total = successes + failures
    window = {"total_attempts": total, "failures": failures, "successes": successes, "duration_seconds": 300}
    return {"provider": provider, "status": status, "failure_rate": failures / total, "window": window}


PROVIDERS_HEALTH = success(
    "Provider health",
    {
        "service": "providers",
        "healthy": False,
        "providers_total": 2,
        "providers": [
            _provider_health("fal", "degraded", successes=4, failures=6),
            _provider_health("replicate", "healthy", successes=99, failures=1),
        ],
    },
)
MODELS_HEALTH = success(
    "Model health",
    {
        "service": "models",
        "healthy": True,
        "models_total": 1,
        "models": [
            {
                "model_identifier": IMAGE_MODEL,
                "model_type": "image",
                "model_pricing": 0.005,
                "providers": {
                    "replicate": {"available": True, "raw_model_id": "black-forest-labs/flux-schnell"},
                    "fal": {"available": False, "raw_model_id": "fal-ai/flux/schnell"},
                },
            }
        ],
    },
)
STORAGE_HEALTH = success(
    "Storage health", {"service": "storage", "healthy": True, "latency_ms": 14, "bucket": "artifacts"}
)
CACHE_HEALTH = success("Cache health", {"service": "redis", "healthy": True, "latency_ms": 3})


def answering(sample: dict[str, Any]) -> dict[str, Any]:
    """What a route adds to its own operation, so that the document has the sample."""
    return {"responses": {"200": {"content": {"application/json": {"example": sample}}}}}
