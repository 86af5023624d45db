"""The models this simulator knows, as data: native parameters, defaults, pixel sizes, shape of the output.

Source: the providers' published model schemas, as known in November 2026. Any other model is accepted with any input.
"""

from __future__ import annotations

from collections.abc import Mapping

from sandbox.parameters import (
    FILE,
    PROMPT,
    REQUIRED_FILE,
    SEED,
    Model,
    Parameter,
    files,
    flag,
    number,
    one_of,
    text,
    whole,
)


def both_ways(landscape: Mapping[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """Adds the portrait of every landscape ratio."""
    portrait = {":".join(reversed(ratio.split(":"))): (high, wide) for ratio, (wide, high) in landscape.items()}
    return portrait | dict(landscape)


FLUX = both_ways(
    {"1:1": (1024, 1024), "16:9": (1344, 768), "4:3": (1152, 864), "3:2": (1248, 832), "5:4": (1120, 896),
     "21:9": (1568, 672)}
)  # fmt: skip
QWEN = both_ways({"1:1": (1328, 1328), "16:9": (1664, 928), "4:3": (1472, 1104), "3:2": (1584, 1056)})
IDEOGRAM = both_ways(
    {"1:1": (1024, 1024), "16:9": (1344, 768), "4:3": (1152, 864), "3:2": (1248, 832), "5:4": (1120, 896),
     "16:10": (1280, 800), "2:1": (1408, 704), "3:1": (1536, 512)}
)  # fmt: skip

_A11 = one_of("1:1", "16:9", "21:9", "3:2", "2:3", "4:5", "5:4", "3:4", "4:3", "9:16", "9:21")
_G10 = ("21:9", "16:9", "3:2", "4:3", "5:4", "1:1", "4:5", "3:4", "2:3", "9:16")
_K9 = ("21:9", "16:9", "4:3", "3:2", "1:1", "2:3", "3:4", "9:16", "9:21")
_I5 = one_of("1:1", "9:16", "16:9", "3:4", "4:3")
_R6 = ("16:9", "21:9", "4:3", "1:1", "3:4", "9:16")
_IDEOGRAM_STYLES = ("Auto", "General", "Realistic", "Design")
_WEBP = {"output_format": one_of("webp", "jpg", "png"), "output_quality": whole(0, 100, 80)}
_JPG_PNG = one_of("jpg", "png")
_VEO = {
    "prompt": PROMPT,
    "aspect_ratio": one_of("16:9", "9:16"),
    "generate_audio": flag(True),
    "negative_prompt": text(),
    "seed": SEED,
}
_SEEDANCE = {"prompt": PROMPT, "seed": SEED, "camera_fixed": flag()}

_REPLICATE_IMAGES = {
    "black-forest-labs/flux-schnell": Model(
        "image",
        "list",
        {
            "prompt": PROMPT,
            "aspect_ratio": _A11,
            "megapixels": one_of("1", "0.25"),
            "num_outputs": whole(1, 4, 1),
            "num_inference_steps": whole(1, 4, 4),
            "seed": SEED,
            **_WEBP,
            "disable_safety_checker": flag(),
            "go_fast": flag(True),
        },
        FLUX,
    ),
    "black-forest-labs/flux-dev": Model(
        "image",
        "list",
        {
            "prompt": PROMPT,
            "aspect_ratio": _A11,
            "megapixels": one_of("1", "0.25"),
            "num_outputs": whole(1, 4, 1),
            "num_inference_steps": whole(1, 50, 28),
            "guidance": number(0, 10, 3),
            "image": FILE,
            "prompt_strength": number(0, 1, 0.8),
            "seed": SEED,
            **_WEBP,
            "disable_safety_checker": flag(),
            "go_fast": flag(True),
        },
        FLUX,
    ),
    "black-forest-labs/flux-1.1-pro": Model(
        "image",
        "string",
        {
            "prompt": PROMPT,
            "aspect_ratio": one_of("1:1", "16:9", "3:2", "2:3", "4:5", "5:4", "9:16", "3:4", "4:3", "custom"),
            "width": whole(256, 1440, multiple_of=32),
            "height": whole(256, 1440, multiple_of=32),
            "image_prompt": FILE,
            "safety_tolerance": whole(1, 6, 2),
            "prompt_upsampling": flag(),
            "seed": SEED,
            **_WEBP,
        },
        FLUX,
    ),
    "black-forest-labs/flux-kontext-pro": Model(
        "image",
        "string",
        {
            "prompt": PROMPT,
            "input_image": FILE,
            "aspect_ratio": one_of("match_input_image", *_A11.choices, "2:1", "1:2"),
            "output_format": one_of("png", "jpg"),
            "prompt_upsampling": flag(),
            "safety_tolerance": whole(0, 6, 2),
            "seed": SEED,
        },
        FLUX,
    ),
    "google/imagen-4": Model(
        "image",
        "string",
        {
            "prompt": PROMPT,
            "aspect_ratio": _I5,
            "image_size": one_of("1K", "2K"),
            "safety_filter_level": one_of("block_only_high", "block_medium_and_above", "block_low_and_above"),
            "output_format": _JPG_PNG,
        },
        FLUX,
    ),
    "google/nano-banana": Model(
        "image",
        "string",
        {
            "prompt": PROMPT,
            "aspect_ratio": one_of("match_input_image", *_G10),
            "image_input": files(10),
            "output_format": _JPG_PNG,
        },
        FLUX,
    ),
    "qwen/qwen-image": Model(
        "image",
        "list",
        {
            "prompt": PROMPT,
            "aspect_ratio": one_of("16:9", "1:1", "9:16", "4:3", "3:4", "3:2", "2:3"),
            "image_size": one_of("optimize_for_quality", "optimize_for_speed"),
            "image": FILE,
            "strength": number(0, 1, 0.9),
            "negative_prompt": text(),
            "guidance": number(0, 10, 3),
            "num_inference_steps": whole(1, 50, 30),
            "enhance_prompt": flag(),
            "go_fast": flag(True),
            "seed": SEED,
            **_WEBP,
            "disable_safety_checker": flag(),
        },
        QWEN,
    ),
    "ideogram-ai/ideogram-v3-turbo": Model(
        "image",
        "string",
        {
            "prompt": PROMPT,
            "aspect_ratio": one_of("1:1", *(ratio for ratio in IDEOGRAM if ratio != "1:1")),
            "resolution": one_of("None", *(f"{wide}x{high}" for wide, high in IDEOGRAM.values())),
            "image": FILE,
            "mask": FILE,
            "style_reference_images": files(10),
            "style_type": one_of("None", *_IDEOGRAM_STYLES),
            "style_preset": text("None"),
            "magic_prompt_option": one_of("Auto", "On", "Off"),
            "seed": whole(0, 2147483647),
        },
        IDEOGRAM,
    ),
}

_REPLICATE_VIDEOS = {
    "bytedance/seedance-1-pro": Model(
        "video",
        "string",
        {
            **_SEEDANCE,
            "resolution": one_of("1080p", "720p", "480p"),
            "aspect_ratio": one_of(*_R6, "9:21"),
            "duration": whole(2, 12, 5),
            "image": FILE,
            "last_frame_image": FILE,
            "fps": one_of(24),
        },
    ),
    "google/veo-3.1-fast": Model(
        "video",
        "string",
        {**_VEO, "resolution": one_of("1080p", "720p"), "duration": one_of(8, 6, 4), "image": FILE, "last_frame": FILE},
    ),
    "kwaivgi/kling-v2.5-turbo-pro": Model(
        "video",
        "string",
        {
            "prompt": PROMPT,
            "aspect_ratio": one_of("16:9", "9:16", "1:1"),
            "duration": one_of(5, 10),
            "start_image": FILE,
            "end_image": FILE,
            "image": FILE,
            "negative_prompt": text(),
        },
        short_side=1080,
    ),
    "minimax/hailuo-02": Model(
        "video",
        "string",
        {
            "prompt": PROMPT,
            "resolution": one_of("1080p", "768p", "512p"),
            "duration": one_of(6, 10),
            "first_frame_image": FILE,
            "last_frame_image": FILE,
            "prompt_optimizer": flag(True),
        },
    ),
    "pixverse/pixverse-v5": Model(
        "video",
        "string",
        {
            "prompt": PROMPT,
            "aspect_ratio": one_of("16:9", "9:16", "1:1"),
            "quality": one_of("540p", "360p", "720p", "1080p"),
            "duration": one_of(5, 8),
            "image": FILE,
            "last_frame_image": FILE,
            "negative_prompt": text(),
            "effect": text("None"),
            "seed": SEED,
        },
    ),
}

_REPLICATE_COMMUNITY = {
    name: Model(
        "video" if "video" in name else "image", "string" if "video" in name else "list", {}, community=versions
    )
    for name, versions in {
        "stability-ai/sdxl": ("7762fd07cf82c948538e41f63f77d685e02b063e37e496e96eefd46c929f9bdc",),
        "bytedance/sdxl-lightning-4step": (
            "6f7a773af6fc3e8de9d5a3c00be77c17308914bf67772726aff83496ba1e3bbe",
            "5599ed30703defd1d160a25a63321b4dec97101d98b4674bcc56e41f62f35637",
        ),
        "tencent/hunyuan-video": ("6c9132aee14409cd6568d030453f1ba50f5f3412b844fe67f78a9eb62d55664f",),
        "prunaai/z-image-turbo": ("7ea16386290ff5977c7812e66e462d7ec3954d8e007a8cd18ded3e7d41f5d7cf",),
    }.items()
}

_SIZE = Parameter("image_size", "landscape_4_3")
_JPEG_PNG = {"output_format": one_of("jpeg", "png"), "sync_mode": flag(), "num_images": whole(1, 4, 1)}
_PNG_JPEG = {"output_format": one_of("png", "jpeg"), "sync_mode": flag(), "num_images": whole(1, 4, 1)}
_PNG_JPEG_WEBP = {"output_format": one_of("png", "jpeg", "webp"), "sync_mode": flag(), "num_images": whole(1, 4, 1)}
_TOLERANCE = ("1", "2", "3", "4", "5", "6")
_ACCELERATION = one_of("none", "regular", "high")


def _flux(steps: Parameter) -> Model:
    return Model(
        "image",
        "images",
        {
            "prompt": PROMPT,
            "image_size": _SIZE,
            "num_inference_steps": steps,
            "guidance_scale": number(1, 20, 3.5),
            "enable_safety_checker": flag(True),
            "acceleration": _ACCELERATION,
            "seed": SEED,
            **_JPEG_PNG,
        },
        flags_nsfw=True,
    )


def _nano_banana(*ratios: str, **images: Parameter) -> Model:
    return Model(
        "image",
        "images",
        {
            "prompt": PROMPT,
            "aspect_ratio": one_of(*ratios),
            "safety_tolerance": one_of("4", *_TOLERANCE),
            "limit_generations": flag(),
            "seed": SEED,
            **images,
            **_PNG_JPEG_WEBP,
        },
        FLUX,
    )


def _kontext(ratio: str | None, **images: Parameter) -> Model:
    parameters = {
        "prompt": PROMPT,
        "aspect_ratio": Parameter("string", ratio, choices=_K9),
        "guidance_scale": number(1, 20, 3.5),
        "safety_tolerance": one_of("2", *_TOLERANCE),
        "enhance_prompt": flag(),
        "seed": SEED,
        **images,
        **_JPEG_PNG,
    }
    return Model("image", "images", parameters, FLUX, flags_nsfw=True)


_FAL_IMAGES = {
    "fal-ai/flux/schnell": _flux(whole(1, 12, 4)),
    "fal-ai/flux/dev": _flux(whole(1, 50, 28)),
    "fal-ai/flux-pro/v1.1": Model(
        "image",
        "images",
        {
            "prompt": PROMPT,
            "image_size": _SIZE,
            "safety_tolerance": one_of("2", *_TOLERANCE),
            "enable_safety_checker": flag(True),
            "enhance_prompt": flag(),
            "seed": SEED,
            **_JPEG_PNG,
        },
        flags_nsfw=True,
    ),
    "fal-ai/flux-pro/kontext/text-to-image": _kontext("1:1"),
    "fal-ai/flux-pro/kontext": _kontext(None, image_url=REQUIRED_FILE),  # None: the ratio of the file
    "fal-ai/imagen4/preview": Model(
        "image",
        "images",
        {
            "prompt": PROMPT,
            "aspect_ratio": _I5,
            "resolution": one_of("1K", "2K"),
            "safety_tolerance": one_of("4", *_TOLERANCE),
            "negative_prompt": text(),
            "seed": SEED,
            **_PNG_JPEG_WEBP,
        },
        FLUX,
    ),
    "fal-ai/nano-banana": _nano_banana("1:1", *(ratio for ratio in _G10 if ratio != "1:1")),
    "fal-ai/nano-banana/edit": _nano_banana("auto", *_G10, image_urls=files(10, required=True)),
    "fal-ai/qwen-image": Model(
        "image",
        "images",
        {
            "prompt": PROMPT,
            "image_size": _SIZE,
            "negative_prompt": text(" "),
            "guidance_scale": number(0, 20, 2.5),
            "num_inference_steps": whole(2, 250, 30),
            "acceleration": _ACCELERATION,
            "use_turbo": flag(),
            "enable_safety_checker": flag(True),
            "seed": SEED,
            **_PNG_JPEG,
        },
        flags_nsfw=True,
    ),
    "fal-ai/ideogram/v3": Model(
        "image",
        "images",
        {
            "prompt": PROMPT,
            "image_size": Parameter("image_size", "square_hd"),
            "image_urls": files(10),
            "rendering_speed": one_of("BALANCED", "TURBO", "QUALITY"),
            "style": one_of("AUTO", "GENERAL", "REALISTIC", "DESIGN"),
            "style_preset": text(),
            "expand_prompt": flag(True),
            "negative_prompt": text(""),
            "num_images": whole(1, 8, 1),
            "sync_mode": flag(),
            "seed": SEED,
        },
    ),
}


def _fal_seedance(ratio: Parameter, resolution: Parameter, **images: Parameter) -> Model:
    parameters = {
        **_SEEDANCE,
        "aspect_ratio": ratio,
        "resolution": resolution,
        "duration": one_of("5", *(str(seconds) for seconds in range(2, 13) if seconds != 5)),
        "enable_safety_checker": flag(True),
        **images,
    }
    return Model("video", "video", parameters)


def _fal_veo(ratio: Parameter, **images: Parameter) -> Model:
    parameters = {
        **_VEO,
        "aspect_ratio": ratio,
        "resolution": one_of("720p", "1080p"),
        "duration": one_of("8s", "6s", "4s"),
        "auto_fix": flag(),
        "safety_tolerance": one_of("4", *_TOLERANCE),
        **images,
    }
    return Model("video", "video", parameters)


def _fal_kling(**others: Parameter) -> Model:
    parameters = {
        "prompt": PROMPT,
        "duration": one_of("5", "10"),
        "negative_prompt": text(),
        "cfg_scale": number(0, 1, 0.5),
        **others,
    }
    return Model("video", "video", parameters, short_side=1080)


def _fal_hailuo(short_side: int, **others: Parameter) -> Model:
    parameters = {"prompt": PROMPT, "prompt_optimizer": flag(True), **others}
    return Model("video", "video", parameters, short_side=short_side, duration_s=6)


def _fal_pixverse(**others: Parameter) -> Model:
    parameters = {
        "prompt": PROMPT,
        "resolution": one_of("720p", "360p", "540p", "1080p"),
        "duration": one_of("5", "8"),
        "negative_prompt": text(""),
        "style": Parameter("string", choices=("anime", "3d_animation", "clay", "comic", "cyberpunk")),
        "seed": SEED,
        **others,
    }
    return Model("video", "video", parameters)


_FAL_VIDEOS = {
    "fal-ai/bytedance/seedance/v1/pro/text-to-video": _fal_seedance(
        one_of(*_R6, "9:21"), one_of("1080p", "720p", "480p")
    ),
    "fal-ai/bytedance/seedance/v1/pro/image-to-video": _fal_seedance(
        one_of("auto", *_R6, "9:21"), one_of("720p", "1080p", "480p"), image_url=REQUIRED_FILE, end_image_url=FILE
    ),
    "fal-ai/veo3.1/fast": _fal_veo(one_of("16:9", "9:16")),
    "fal-ai/veo3.1/fast/image-to-video": _fal_veo(one_of("auto", "16:9", "9:16"), image_url=REQUIRED_FILE),
    "fal-ai/veo3.1/fast/first-last-frame-to-video": _fal_veo(
        one_of("auto", "16:9", "9:16"), first_frame_url=REQUIRED_FILE, last_frame_url=REQUIRED_FILE
    ),
    "fal-ai/kling-video/v2.5-turbo/pro/text-to-video": _fal_kling(aspect_ratio=one_of("16:9", "9:16", "1:1")),
    "fal-ai/kling-video/v2.5-turbo/pro/image-to-video": _fal_kling(image_url=REQUIRED_FILE, tail_image_url=FILE),
    "fal-ai/minimax/hailuo-02/standard/text-to-video": _fal_hailuo(768, duration=one_of("6", "10")),
    "fal-ai/minimax/hailuo-02/standard/image-to-video": _fal_hailuo(
        768,
        duration=one_of("6", "10"),
        resolution=one_of("768P", "512P"),
        image_url=REQUIRED_FILE,
        end_image_url=FILE,
    ),
    "fal-ai/minimax/hailuo-02/pro/text-to-video": _fal_hailuo(1080),
    "fal-ai/minimax/hailuo-02/pro/image-to-video": _fal_hailuo(1080, image_url=REQUIRED_FILE, end_image_url=FILE),
    "fal-ai/pixverse/v5/text-to-video": _fal_pixverse(aspect_ratio=one_of("16:9", "4:3", "1:1", "3:4", "9:16")),
    "fal-ai/pixverse/v5/image-to-video": _fal_pixverse(image_url=REQUIRED_FILE),
    "fal-ai/pixverse/v5/transition": _fal_pixverse(first_image_url=REQUIRED_FILE, end_image_url=FILE),
}

MODELS: Mapping[str, Mapping[str, Model]] = {
    "replicate": _REPLICATE_IMAGES | _REPLICATE_VIDEOS | _REPLICATE_COMMUNITY,
    "fal": _FAL_IMAGES | _FAL_VIDEOS,
}

_VIDEO_WORDS = (
    "video",
    "veo",
    "kling",
    "hailuo",
    "seedance",
    "pixverse",
    "sora",
    "vidu",
    "ray-",
    "ltx",
    "-t2v",
    "-i2v",
)


def model_of(provider: str, endpoint: str) -> Model:
    """The model of this name; for an unknown one a guess that accepts any input."""
    if known := MODELS[provider].get(endpoint):
        return known
    video = any(word in endpoint for word in _VIDEO_WORDS)
    if provider == "fal":
        return _UNKNOWN_FAL_VIDEO if video else _UNKNOWN_FAL_IMAGE
    return _UNKNOWN_REPLICATE_VIDEO if video else _UNKNOWN_REPLICATE_IMAGE


def is_known(provider: str, endpoint: str) -> bool:
    """Whether its parameters are checked."""
    known = MODELS[provider].get(endpoint)
    return known is not None and not known.community


_UNKNOWN_FAL_IMAGE = Model("image", "images", {}, FLUX, flags_nsfw=True)
_UNKNOWN_FAL_VIDEO = Model("video", "video", {}, short_side=720)
_UNKNOWN_REPLICATE_IMAGE = Model("image", "list", {}, FLUX)
_UNKNOWN_REPLICATE_VIDEO = Model("video", "string", {}, short_side=720)
