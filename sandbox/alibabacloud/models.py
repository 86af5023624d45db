"""The models of the simulated Alibaba Cloud, by path. Source: the vendor's reference, read 2026-11.

Bodies are `{model, input, parameters}`. Not in the reference at hand, and taken from clients of others: HappyHorse, Wan
2.7 with references, the animate models, Z-Image, pixel limits of Wan 2.7 images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sandbox.alibabacloud.sizes import RATIOS, TIERS, SizeRule
from sandbox.parameters import (
    FILE,
    PROMPT,
    REQUIRED_FILE,
    Model,
    Parameter,
    files,
    flag,
    nested,
    number,
    objects,
    text,
    whole,
)
from sandbox.parameters import one_of as one

VIDEO = "/services/aigc/video-generation/video-synthesis"
FRAMES = "/services/aigc/image2video/video-synthesis"
TEXT_TO_IMAGE = "/services/aigc/text2image/image-synthesis"
IMAGE_TO_IMAGE = "/services/aigc/image2image/image-synthesis"
IMAGES = "/services/aigc/image-generation/generation"
MESSAGES = "/services/aigc/multimodal-generation/generation"  # the only synchronous one


@dataclass(frozen=True, slots=True)
class Served:
    """A model at one path, with what `Parameter` cannot say."""

    model: Model
    sizes: SizeRule | None = None  # None: the choices of the parameter, if there is one
    pictures: tuple[int, int] = (0, 0)  # of a message, beside its one text: least, most
    needs: tuple[str, ...] = ()  # types of media, one of which must be there


_COMMON = {"watermark": flag(), "seed": whole(0, 2**31 - 1)}
_EXTENDED = {**_COMMON, "prompt_extend": flag(True)}
_BY_THE_CLIENT = {"extend_prompt": flag(True), "function": text()}  # the vendor's own sends these with every video
_TEXTS = {"prompt": PROMPT, "negative_prompt": text()}
_FIVE_SECONDS = one(5)


def _video(given: Mapping[str, Parameter], parameters: Mapping[str, Parameter], *needs: str) -> Served:
    members = {"input": nested(True, **_BY_THE_CLIENT, **given), "parameters": nested(False, **parameters)}
    return Served(Model("video", "video", members), needs=needs)


def _from_text(default: str, tiers: str, duration: Parameter, *, sound: bool = False, **more: Parameter) -> Served:
    sizes = (size for tier in tiers.split() for size in TIERS[tier].values())
    heard = {"audio_url": FILE} if sound else {}
    return _video({**_TEXTS, **heard}, {"size": one(default, *sizes), "duration": duration, **_EXTENDED, **more})


def _from_image(tiers: str, duration: Parameter, *, sound: bool = False, **more: Parameter) -> Served:
    given = {**_TEXTS, "prompt": text(), "img_url": REQUIRED_FILE, "template": text()}
    heard = {"audio_url": FILE} if sound else {}
    return _video({**given, **heard}, {"resolution": one(*tiers.split()), "duration": duration, **_EXTENDED, **more})


def _from_frames(tiers: str) -> Served:
    given = {**_TEXTS, "prompt": text(), "first_frame_url": REQUIRED_FILE, "last_frame_url": FILE, "template": text()}
    return _video(given, {"resolution": one(*tiers.split()), "duration": _FIVE_SECONDS, **_EXTENDED})


def _from_references(**more: Parameter) -> Served:
    given = {**_TEXTS, "reference_urls": files(5, required=True)}
    size = one("1920*1080", *TIERS["720P"].values(), *TIERS["1080P"].values())
    return _video(given, {"size": size, "duration": whole(2, 10, 5), "shot_type": _SHOTS, **_COMMON, **more})


def _media(most: int, *types: str, **more: Parameter) -> dict[str, Parameter]:
    kind = Parameter("string", required=True, choices=types)
    return {"media": objects(1, most, required=True, type=kind, url=REQUIRED_FILE, **more)}


def _by_tier(duration: Parameter | None, *, ratio: bool = True, **more: Parameter) -> dict[str, Parameter]:
    named = {"resolution": one("1080P", "720P"), **_COMMON, **more}
    timed = named if duration is None else {**named, "duration": duration}
    return {**timed, "ratio": one(*RATIOS)} if ratio else timed


_SHOTS = one("single", "multi")
_SOURCE = one("auto", "origin")
_WAN_27_FRAMES = _video(
    {**_TEXTS, "prompt": text(), **_media(4, "first_frame", "last_frame", "driving_audio", "first_clip")},
    _by_tier(whole(2, 15, 5), ratio=False, prompt_extend=flag(True)),
    "first_frame",
    "first_clip",
)
_HORSE = {"prompt": PROMPT}
_ANIMATE = _video(  # where `watermark` stands is told differently
    {"image_url": REQUIRED_FILE, "video_url": REQUIRED_FILE, "watermark": flag()},
    {
        "mode": Parameter("string", required=True, choices=("wan-std", "wan-pro")),
        "check_image": flag(True),
        "watermark": flag(),
    },
)

_VIDEOS: Mapping[str, Served] = {
    "wan2.6-t2v": _from_text("1920*1080", "720P 1080P", whole(2, 15, 5), sound=True, shot_type=_SHOTS),
    "wan2.6-t2v-us": _from_text("1920*1080", "720P 1080P", one(5, 10), sound=True, shot_type=_SHOTS),
    "wan2.5-t2v-preview": _from_text("1920*1080", "480P 720P 1080P", one(5, 10), sound=True),
    "wan2.2-t2v-plus": _from_text("1920*1080", "480P 1080P", _FIVE_SECONDS),
    "wan2.1-t2v-turbo": _from_text("1280*720", "480P 720P", _FIVE_SECONDS),
    "wan2.1-t2v-plus": _from_text("1280*720", "720P", _FIVE_SECONDS),
    "wan2.6-i2v": _from_image("1080P 720P", whole(2, 15, 5), sound=True, shot_type=_SHOTS),
    "wan2.6-i2v-flash": _from_image("1080P 720P", whole(2, 15, 5), sound=True, shot_type=_SHOTS, audio=flag(True)),
    "wan2.5-i2v-preview": _from_image("1080P 720P 480P", one(5, 10), sound=True),
    "wan2.2-i2v-plus": _from_image("1080P 480P", _FIVE_SECONDS),
    "wan2.2-i2v-flash": _from_image("720P 480P", _FIVE_SECONDS),
    "wan2.1-i2v-turbo": _from_image("720P 480P", one(5, 4, 3)),
    "wan2.1-i2v-plus": _from_image("720P", _FIVE_SECONDS),
    "wan2.6-r2v": _from_references(),
    "wan2.6-r2v-flash": _from_references(audio=flag(True)),
    "wan2.7-t2v": _video({**_TEXTS, "audio_url": FILE}, _by_tier(whole(2, 15, 5), prompt_extend=flag(True))),
    "wan2.7-i2v": _WAN_27_FRAMES,
    "wan2.7-i2v-2026-04-25": _WAN_27_FRAMES,
    "wan2.7-r2v": _video(
        {**_TEXTS, **_media(5, "reference_image", "reference_video", "first_frame", reference_voice=FILE)},
        _by_tier(whole(2, 15, 5), prompt_extend=flag(True)),
        "reference_image",
        "reference_video",
    ),
    "wan2.7-videoedit": _video(
        {**_TEXTS, "prompt": text(), **_media(5, "video", "reference_image")},
        _by_tier(whole(0, 10, 0), audio_setting=_SOURCE, prompt_extend=flag(True)),
        "video",
    ),
    "happyhorse-1.0-t2v": _video(_HORSE, _by_tier(whole(3, 15, 5))),
    "happyhorse-1.0-i2v": _video(
        {**_HORSE, "prompt": text(), **_media(1, "first_frame")}, _by_tier(whole(3, 15, 5), ratio=False), "first_frame"
    ),
    "happyhorse-1.0-r2v": _video(
        {**_HORSE, **_media(9, "reference_image")}, _by_tier(whole(3, 15, 5)), "reference_image"
    ),
    "happyhorse-1.0-video-edit": _video(
        {**_HORSE, **_media(6, "video", "reference_image")}, _by_tier(None, ratio=False, audio_setting=_SOURCE), "video"
    ),
}

_KEYFRAMES: Mapping[str, Served] = {
    "wan2.1-kf2v-plus": _from_frames("720P"),
    "wan2.2-kf2v-flash": _from_frames("720P 480P 1080P"),
    "wan2.2-animate-move": _ANIMATE,
    "wan2.2-animate-mix": _ANIMATE,
}


def _message(
    most: int, rule: SizeRule | None, *, count: Parameter, least: int = 0, negative: bool = True, **more: Parameter
) -> Served:
    """`most` and `least` images beside the text."""
    content = objects(1, 100, required=True, text=text(), image=FILE)
    role = Parameter("string", required=True, choices=("user",))
    size = {"size": text(rule.default)} if rule else {}
    texts = {"negative_prompt": text()} if negative else {}
    members = {
        "input": nested(True, messages=objects(1, 1, required=True, role=role, content=content)),
        "parameters": nested(False, n=count, is_async=flag(), **size, **texts, **_COMMON, **more),
    }
    return Served(Model("image", "list", members), rule, (least, most))


def _prompted(size: Mapping[str, Parameter], rule: SizeRule | None, count: Parameter, **more: Parameter) -> Served:
    members = {
        "input": nested(True, **_TEXTS, **more),
        "parameters": nested(False, n=count, **size, **_EXTENDED),
    }
    return Served(Model("image", "list", members), rule)


_FOUR, _ONE, _UP_TO_SIX = whole(1, 4, 4), whole(1, 1, 1), whole(1, 6, 1)
_ANY = {"size": text()}
_WAN_SIZES = SizeRule(
    "1280*1280", area=(1280 * 1280, 1440 * 1440), ratio=4, named=("1104*1472", "1472*1104", "960*1696", "1696*960")
)
_EDIT_SIZES = SizeRule("1280*1280", area=(768 * 768, 1280 * 1280), ratio=4)
_QWEN_SIZES = one("1664*928", "1472*1104", "1328*1328", "1104*1472", "928*1664")
_QWEN_FIVE = SizeRule("1664*928", named=_QWEN_SIZES.choices)
_QWEN_2_SIZES = SizeRule("2048*2048", area=(512 * 512, 2048 * 2048))
_QWEN_EDIT_SIZES = SizeRule("1024*1024", side=(512, 2048))
_WAN_27_SIZES = SizeRule("2K", area=(768 * 768, 2048 * 2048), ratio=8, named=("1K", "2K"))
_WAN_27_PRO_SIZES = SizeRule("2K", area=(768 * 768, 4096 * 4096), ratio=8, named=("1K", "2K", "4K"))
_OLD_SIZES = SizeRule("1024*1024", side=(512, 1440))
_Z_SIZES = SizeRule("1024*1536", area=(512 * 512, 2048 * 2048))

_WAN_26 = _message(0, _WAN_SIZES, count=_FOUR, prompt_extend=flag(True))
_WAN_26_EDIT = _message(
    4, _EDIT_SIZES, count=_FOUR, prompt_extend=flag(True), enable_interleave=flag(), max_images=whole(1, 5, 5)
)
_WAN_27, _WAN_27_PRO = (
    _message(9, rule, count=_FOUR, negative=False, thinking_mode=flag(True), enable_sequential=flag())
    for rule in (_WAN_27_SIZES, _WAN_27_PRO_SIZES)
)
_QWEN = _message(0, _QWEN_FIVE, count=_ONE, prompt_extend=flag(True))
_QWEN_2 = _message(3, _QWEN_2_SIZES, count=_UP_TO_SIX, prompt_extend=flag(True))
_QWEN_EDIT = _message(3, _QWEN_EDIT_SIZES, least=1, count=_UP_TO_SIX, prompt_extend=flag(True))

_MESSAGES: Mapping[str, Served] = {
    "wan2.6-t2i": _WAN_26,
    "wan2.6-image": _WAN_26_EDIT,
    "wan2.7-image": _WAN_27,
    "wan2.7-image-pro": _WAN_27_PRO,
    "qwen-image": _QWEN,
    "qwen-image-plus": _QWEN,
    "qwen-image-plus-2026-01-09": _QWEN,
    "qwen-image-max": _QWEN,
    "qwen-image-2.0": _QWEN_2,
    "qwen-image-2.0-pro": _QWEN_2,
    "qwen-image-edit": _message(1, None, least=1, count=_ONE),
    "qwen-image-edit-plus": _QWEN_EDIT,
    "qwen-image-edit-plus-2025-10-30": _QWEN_EDIT,
    "qwen-image-edit-plus-2025-12-15": _QWEN_EDIT,
    "qwen-image-edit-max": _QWEN_EDIT,
    "z-image-turbo": _message(0, _Z_SIZES, count=_ONE, negative=False, prompt_extend=flag()),
}

_OLD_WAN = ("wan2.2-t2i-plus", "wan2.2-t2i-flash", "wan2.1-t2i-plus", "wan2.1-t2i-turbo")
_TEXT_IMAGES: Mapping[str, Served] = {
    "wan2.5-t2i-preview": _prompted(_ANY, _WAN_SIZES, _FOUR),
    **{name: _prompted(_ANY, _OLD_SIZES, _FOUR) for name in _OLD_WAN},
    "qwen-image": _prompted({"size": _QWEN_SIZES}, None, _ONE),
    "qwen-image-plus": _prompted({"size": _QWEN_SIZES}, None, _ONE),
}

_FUNCTIONS = (
    "stylization_all", "stylization_local", "description_edit", "description_edit_with_mask", "remove_watermark",
    "expand", "super_resolution", "colorization", "doodle", "control_cartoon_feature",
)  # fmt: skip
_EDITED_IMAGES: Mapping[str, Served] = {
    "wan2.5-i2i-preview": _prompted(_ANY, _EDIT_SIZES, _FOUR, images=files(3, required=True)),
    "wanx2.1-imageedit": _prompted(
        {"strength": number(0, 1, 0.5)},
        None,
        whole(1, 4, 1),
        function=Parameter("string", required=True, choices=_FUNCTIONS),
        base_image_url=REQUIRED_FILE,
        mask_image_url=FILE,
    ),
}

PATHS: Mapping[str, Mapping[str, Served]] = {
    VIDEO: _VIDEOS,
    FRAMES: _KEYFRAMES,
    TEXT_TO_IMAGE: _TEXT_IMAGES,
    IMAGE_TO_IMAGE: _EDITED_IMAGES,
    IMAGES: {name: _MESSAGES[name] for name in ("wan2.6-t2i", "wan2.6-image", "wan2.7-image", "wan2.7-image-pro")},
    MESSAGES: _MESSAGES,
}
