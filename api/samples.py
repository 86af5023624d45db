"""Answers as the reference shows them: one image and one video, from the request to the finished file."""

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


def answering(sample: dict[str, Any]) -> dict[str, Any]:
    """What a route adds to its own operation, so that the document has the sample."""
    return {"responses": {"200": {"content": {"application/json": {"example": sample}}}}}
