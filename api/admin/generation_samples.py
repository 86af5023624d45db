"""A generation as the operator API's reference shows it."""

from __future__ import annotations

from api.samples import ACCOUNT_ID, IMAGE_ID, success

_AT = "2026-06-02T08:15:30.412Z"

GENERATION = success(
    "Generation",
    {
        "generation_id": IMAGE_ID,
        "account_id": ACCOUNT_ID,
        "model_identifier": "bfl/flux-schnell",
        "media_type": "image",
        "region": "us",
        "status": "succeeded",
        "provider_order": ["replicate"],
        "provider_used": "replicate",
        "error_code": None,
        "error_message": None,
        "price_version": "bfl/flux-schnell@1",
        "quote": 0.005,
        "settled": 0.005,
        "replay_of": None,
        "created_at": _AT,
        "started_at": _AT,
        "completed_at": _AT,
        "deleted_at": None,
        "decision": {
            "defaulted": ["generation_output_number", "generation_provider_order"],
            "routing": ["generation_provider_order"],
            "candidates": [
                {
                    "provider": "replicate",
                    "mapping_version": "5f70bf18a086",
                    "used": {
                        "generation_prompt": "prompt",
                        "generation_ratio": "aspect_ratio",
                        "generation_output_format": "output_format",
                        "generation_output_number": "num_outputs",
                    },
                    "mapped": {},
                    "implied": {},
                }
            ],
            "skipped": [
                {"provider": "fal", "reason": "cannot_serve", "field": "generation_output_format", "value": "webp"}
            ],
            "demoted": [],
        },
        "attempts": [
            {
                "number": 1,
                "provider": "replicate",
                "native_model": "black-forest-labs/flux-schnell",
                "state": "used",
                "fault": None,
                "error_code": None,
                "error_message": None,
                "cost": 0.003,
                "begun_at": _AT,
                "ended_at": _AT,
            }
        ],
        "deviations": [{"measure": "type", "asked": "webp", "delivered": "png", "output": 0}],
    },
)
