"""Runway's models by endpoint: native parameters, sizes, prices in credits of one US cent.

Source: the types of the vendor's Python client 5.24.0 and its guides; of the models that are gone from that client, the
older versions. Read 2026-11. A free pixel pair for seedream5_lite and `runway://` uploads are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sandbox.parameters import (
    FILE,
    REQUIRED_FILE,
    SEED,
    Parameter,
    any_of,
    flag,
    nested,
    number,
    objects,
    one_of,
    text,
    whole,
)


def _must(parameter: Parameter) -> Parameter:
    return replace(parameter, required=True)


def _ratio(listed: str) -> Parameter:
    return one_of(*listed.split())


def _prompt(longest: int | None = 1000, *, required: bool = True) -> dict[str, Parameter]:
    return {"promptText": text(required=required, longest=longest)}


def _frames(most: int, *positions: str, required: bool = True) -> Parameter:
    """An image, or images with their place in the video."""
    place = replace(one_of(*positions), required=required)
    return any_of(FILE, objects(1, most, uri=REQUIRED_FILE, position=place), required=True)


def _references(least: int, most: int, /, **more: Parameter) -> Parameter:
    return objects(least, most, required=least > 0, uri=REQUIRED_FILE, **more)


_MODERATION = {"contentModeration": nested(publicFigureThreshold=one_of("auto", "low"))}
_TAG = text(longest=16)
_GEN4_IMAGE = {
    **_prompt(),
    "ratio": _must(_ratio("1024:1024 1080:1080 1168:880 1360:768 1440:1080 1080:1440 1808:768 1920:1080 1080:1920 "
                          "2112:912 1280:720 720:1280 720:720 960:720 720:960 1680:720")),
    "seed": SEED,
    **_MODERATION,
}  # fmt: skip
_GEMINI_1K = "1344:768 768:1344 1024:1024 1184:864 864:1184 1536:672 832:1248 1248:832 896:1152 1152:896"
_GEMINI_2K = "2048:2048 1696:2528 2528:1696 1792:2400 2400:1792 1856:2304 2304:1856 1536:2752 2752:1536 3168:1344"
_GEMINI_4K = "4096:4096 3392:5056 5056:3392 3584:4800 4800:3584 3712:4608 4608:3712 3072:5504 5504:3072 6336:2688"
_GPT_IMAGE = ("auto 2048:880 1920:1088 1920:1280 1920:1440 1920:1536 1920:1920 1536:1920 1440:1920 1280:1920 1088:1920 "
              "2912:1248 2560:1440 2560:1712 2560:1920 2560:2048 2560:2560 2048:2560 1920:2560 1712:2560 1440:2560 "
              "3840:1648 3840:2160 3504:2336 3264:2448 3200:2560 2880:2880 2560:3200 2448:3264 2336:3504 "
              "2160:3840")  # fmt: skip
_SEEDREAM_2K = "2048:2048 2304:1728 1728:2304 2848:1600 1600:2848 2496:1664 1664:2496 3136:1344"
_SEEDREAM_RATIOS = {
    "seedream5_pro": "1024:1024 1184:896 896:1184 1376:768 768:1376 1296:864 864:1296 2048:2048 2304:1728 1728:2304 "
                     "2720:1530 1530:2720 2496:1664 1664:2496 auto_1k auto_2k",
    "seedream5_lite": f"{_SEEDREAM_2K} 3072:3072 3456:2592 2592:3456 4096:2304 2304:4096 3744:2496 2496:3744 4704:2016",
    "seedream5_flash": "1024:1024 1184:896 896:1184 1376:768 768:1376 1248:832 832:1248 1568:672 "
                       f"{_SEEDREAM_2K} auto_1k auto_2k",
}  # fmt: skip

_TEXT_TO_IMAGE: dict[str, dict[str, Parameter]] = {
    "gen4_image": {**_GEN4_IMAGE, "referenceImages": _references(0, 3, tag=_TAG)},
    "gen4_image_turbo": {**_GEN4_IMAGE, "referenceImages": _references(1, 3, tag=_TAG)},
    "gemini_2.5_flash": {
        **_prompt(None),
        "ratio": _must(_ratio(_GEMINI_1K)),
        "referenceImages": _references(0, 3, tag=_TAG),
    },
    "gemini_image3_pro": {
        **_prompt(None),
        "ratio": _must(_ratio(f"{_GEMINI_1K} {_GEMINI_2K} {_GEMINI_4K}")),
        "referenceImages": _references(0, 14, tag=_TAG, subject=one_of("human", "object")),
        "outputCount": one_of(1, 4),
    },
    "gpt_image_2": {
        **_prompt(32_000),
        "ratio": _must(_ratio(_GPT_IMAGE)),
        "referenceImages": _references(0, 16, tag=_TAG),
        "outputCount": whole(1, 10, 1),
        "quality": one_of("high", "medium", "low", "auto"),
        "background": one_of("auto", "opaque", "transparent"),
    },
    **{
        name: {
            **_prompt(None if name == "seedream5_flash" else 4000),
            "ratio": _must(_ratio(ratios)),
            "referenceImages": _references(0, 14),
            "outputCount": whole(1, 10, 1),
            "outputFormat": one_of("png", "jpeg"),
            **({} if name == "seedream5_flash" else {"grounding": flag()}),
        }
        for name, ratios in _SEEDREAM_RATIOS.items()
    },
}

_SIX = "1280:720 720:1280 1104:832 960:960 832:1104 1584:672"
_FULL_HD = "1280:720 720:1280 1080:1920 1920:1080"
_FORMATS = ("mp4 prores png_sequence hdr10 hlg sdr_rec709_10bit hdr_pq_12bit_master hdr_prores hdr_png_sequence "
            "hdr_exr_sequence hdr_exr_acescg_sequence_1_3 hdr_exr_acescg_sequence_2_0")  # fmt: skip
_PRORES = {"proresProfile": one_of("422", "4444", "422 Proxy", "422 LT", "422 HQ", "4444 XQ")}
_GEN45 = {
    **_prompt(),
    "duration": _must(whole(2, 10)),
    "seed": SEED,
    "outputFormat": one_of(*_FORMATS.split()),
    **_PRORES,
    **_MODERATION,
}
_VEO31 = {
    "ratio": _must(_ratio(_FULL_HD)),
    "duration": one_of(8, 6, 4),
    "audio": flag(True),
    "negativePrompt": text(),
    "seed": SEED,
}
_VEO3 = {"ratio": _must(_ratio(_FULL_HD)), "duration": _must(one_of(8)), "seed": SEED}
_SEEDANCE_720P = ("992:432 864:496 752:560 640:640 560:752 496:864 1470:630 1280:720 1112:834 960:960 834:1112 "
                  "720:1280")  # fmt: skip
_SEEDANCE_4K = ("2206:946 1920:1080 1664:1248 1440:1440 1248:1664 1080:1920 3840:1646 3840:2160 3840:2880 3840:3840 "
                "2880:3840 2160:3840")  # fmt: skip
_SEEDANCES = {
    name: {
        "ratio": _ratio(f"{_SEEDANCE_720P} {_SEEDANCE_4K}" if name == "seedance2" else _SEEDANCE_720P),
        "duration": any_of(one_of("auto"), whole(4, 15)),
        "audio": flag(True),
        "referenceAudio": objects(0, 3, type=_must(one_of("audio")), uri=REQUIRED_FILE),
        "seed": SEED,
    }
    for name in ("seedance2", "seedance2_fast", "seedance2_mini")
}
_HAPPYHORSE = "1280:720 720:1280 960:960 1108:832 832:1108 1920:1080 1080:1920 1440:1440 1662:1248 1248:1662"

_TEXT_TO_VIDEO: dict[str, dict[str, Parameter]] = {
    "gen4.5": {**_GEN45, "ratio": _must(_ratio("1280:720 720:1280"))},
    "veo3": {**_prompt(), **_VEO3},
    "veo3.1": {**_prompt(), **_VEO31},
    "veo3.1_fast": {**_prompt(), **_VEO31},
    **{
        name: {
            **_prompt(3500),
            **given,
            "references": _references(0, 9),
            "referenceVideos": objects(0, 3, type=_must(one_of("video")), uri=REQUIRED_FILE),
        }
        for name, given in _SEEDANCES.items()
    },
    "happyhorse_1_0": {**_prompt(2500), "ratio": _ratio(_HAPPYHORSE), "duration": whole(1, 60)},
}
_FIRST, _FIRST_AND_LAST = _frames(1, "first"), _frames(2, "first", "last")
_IMAGE_TO_VIDEO: dict[str, dict[str, Parameter]] = {
    "gen4.5": {**_GEN45, "ratio": _must(_ratio(_SIX)), "promptImage": _FIRST},
    "gen4_turbo": {
        **_prompt(required=False),
        "promptImage": _FIRST,
        "ratio": _must(_ratio(_SIX)),
        "duration": whole(2, 10),
        "seed": SEED,
        **_MODERATION,
    },
    "gen3a_turbo": {
        **_prompt(),
        "promptImage": _FIRST_AND_LAST,
        "ratio": _ratio("1280:768 768:1280"),
        "duration": one_of(10, 5),
        "seed": SEED,
        **_MODERATION,
    },
    "veo3": {**_prompt(required=False), "promptImage": _FIRST, **_VEO3},
    "veo3.1": {**_prompt(required=False), "promptImage": _FIRST_AND_LAST, **_VEO31},
    "veo3.1_fast": {**_prompt(required=False), "promptImage": _FIRST_AND_LAST, **_VEO31},
    **{
        name: {**_prompt(3500, required=False), "promptImage": _frames(9, "first", "last", required=False), **given}
        for name, given in _SEEDANCES.items()
    },
    "happyhorse_1_0": {
        **_prompt(2500, required=False),
        "promptImage": _FIRST,
        "resolution": one_of("720p", "1080p", "720P", "1080P"),
        "duration": whole(1, 60),
    },
}
_VIDEO_TO_VIDEO: dict[str, dict[str, Parameter]] = {
    "gen4_aleph": {
        **_prompt(),
        "videoUri": REQUIRED_FILE,
        "ratio": _ratio(f"{_SIX} 848:480 640:480"),
        "references": objects(0, 1, type=_must(one_of("image")), uri=REQUIRED_FILE),
        "seed": SEED,
        **_MODERATION,
    },
    "aleph2": {
        **_prompt(required=False),
        "videoUri": REQUIRED_FILE,
        "targetAspectRatio": one_of("16:9", "4:3", "3:2", "1:1", "2:3", "3:4", "9:16", "21:9"),
        "ratio": text(),
        "keyframes": objects(
            0,
            5,
            uri=REQUIRED_FILE,
            seconds=number(0, 3600),
            at=number(0, 1),
            range=nested(start_seconds=whole(0, 3600), end_seconds=whole(0, 3600)),
        ),
        "outputFormat": one_of("mp4", "prores", "png_sequence", "sdr_rec709_10bit"),
        **_PRORES,
        "seed": SEED,
        **_MODERATION,
    },
}
_CHARACTER_PERFORMANCE: dict[str, dict[str, Parameter]] = {
    "act_two": {
        "character": nested(True, type=_must(one_of("image", "video")), uri=REQUIRED_FILE),
        "reference": nested(True, type=_must(one_of("video")), uri=REQUIRED_FILE),
        "ratio": _ratio(_SIX),
        "bodyControl": flag(),
        "expressionIntensity": whole(1, 5, 3),
        "seed": SEED,
        **_MODERATION,
    },
}
_VIDEO_UPSCALE: dict[str, dict[str, Parameter]] = {
    "upscale_v1": {"videoUri": REQUIRED_FILE},
    "magnific_video_upscaler_creative": {
        "videoUri": REQUIRED_FILE,
        "resolution": one_of("2k", "720p", "1k", "4k"),
        "creativity": whole(0, 100),
        "sharpen": whole(0, 100),
        "smartGrain": whole(0, 100),
        "flavor": one_of("vivid", "natural"),
        "fpsBoost": flag(),
    },
}

ENDPOINTS: Mapping[str, Mapping[str, Mapping[str, Parameter]]] = {
    "/v1/text_to_image": _TEXT_TO_IMAGE,
    "/v1/text_to_video": _TEXT_TO_VIDEO,
    "/v1/image_to_video": _IMAGE_TO_VIDEO,
    "/v1/video_to_video": _VIDEO_TO_VIDEO,
    "/v1/character_performance": _CHARACTER_PERFORMANCE,
    "/v1/video_upscale": _VIDEO_UPSCALE,
}
