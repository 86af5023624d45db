"""ModelArk's models as data. Source: the vendor's reference, as known in November 2026.

No picture model has `n`, `quality`, `negative_prompt` or a ratio: these are refused here, `n` is ignored as the real
API does. Not simulated: streams, layers, and models behind an endpoint id of one's own (`ep-...`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sandbox.models import Models
from sandbox.parameters import (
    FILE,
    PROMPT,
    Model,
    Parameter,
    any_of,
    files,
    flag,
    nested,
    number,
    objects,
    one_of,
    text,
    whole,
)

# --- pictures -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Canvas:
    """Which sizes a picture model draws. `sides` limits each side where the sum of pixels does not."""

    default: str
    tiers: tuple[str, ...] = ()
    least_pixels: int = 0
    most_pixels: int = 0  # 0: pixels cannot be named
    sides: tuple[int, int] | None = None


TIER_SIDES = {"1K": 1024, "1.5K": 1536, "2K": 2048, "3K": 3072, "4K": 4096, "adaptive": 1024}
RATIO_MAX = 16

_SEEDREAM_3 = Canvas("1024x1024", (), 512 * 512, 2048 * 2048, (512, 2048))
_LARGE = (3_686_400, 16_777_216)
CANVASES: Mapping[str, Canvas] = {
    "seedream-3-0-t2i-250415": _SEEDREAM_3,
    "seededit-3-0-i2i-250628": Canvas("adaptive", ("adaptive",)),
    "seedream-4-0-250828": Canvas("2048x2048", ("1K", "2K", "4K"), 921_600, 16_777_216),
    "seedream-4-5-251128": Canvas("2048x2048", ("2K", "4K"), *_LARGE),
    "seedream-5-0-260128": Canvas("2048x2048", ("2K", "3K", "4K"), *_LARGE),
    "seedream-5-0-lite-260128": Canvas("2048x2048", ("2K", "3K", "4K"), *_LARGE),
    "dola-seedream-5-0-pro-260628": Canvas("2048x2048", ("1K", "1.5K", "2K"), 921_600, 4_624_220),
    "dola-seedream-5-0-flash-260915": Canvas("2048x2048", ("1K", "1.5K", "2K"), 921_600, 4_624_220),
}

_SEED = whole(-1, 2_147_483_647, -1)
_ANY_PICTURE = {
    "prompt": PROMPT,
    "size": text(),
    "response_format": one_of("url", "b64_json"),
    "watermark": flag(True),
}
_ONE_IMAGE = any_of(FILE, files(1), required=True)
_GUIDED = {"seed": _SEED, "guidance_scale": number(1, 10)}
_OPTIMIZED = {"optimize_prompt_options": nested(mode=one_of("standard", "fast"))}
_GROUPS = {
    **_OPTIMIZED,
    "image": any_of(FILE, files(14)),
    "sequential_image_generation": one_of("disabled", "auto"),
    "sequential_image_generation_options": nested(max_images=whole(1, 15, 15)),
    "stream": Parameter("boolean", False, choices=(False,)),
}
_FORMATS = {"output_format": one_of("jpeg", "png")}
_LITE = {**_GROUPS, **_FORMATS, "tools": objects(0, 1, type=one_of("web_search"))}
_PRO = {**_OPTIMIZED, **_FORMATS, "image": any_of(FILE, files(10))}


def _picture(**parameters: Parameter) -> Model:
    return Model("image", "images", {**_ANY_PICTURE, **parameters})


_PICTURES = {
    "seedream-3-0-t2i-250415": _picture(**_GUIDED),
    "seededit-3-0-i2i-250628": _picture(image=_ONE_IMAGE, **_GUIDED),
    "seedream-4-0-250828": _picture(**_GROUPS),
    "seedream-4-5-251128": _picture(**_GROUPS),
    "seedream-5-0-260128": _picture(**_LITE),
    "seedream-5-0-lite-260128": _picture(**_LITE),
    "dola-seedream-5-0-pro-260628": _picture(**_PRO),
    "dola-seedream-5-0-flash-260915": _picture(**_PRO),
}

# --- videos -------------------------------------------------------------------------------------------------------

_ROWS_OF_1_0 = {
    "16:9": ((864, 480), (1248, 704), (1920, 1088)),
    "4:3": ((736, 544), (1120, 832), (1664, 1248)),
    "1:1": ((640, 640), (960, 960), (1440, 1440)),
    "3:4": ((544, 736), (832, 1120), (1248, 1664)),
    "9:16": ((480, 864), (704, 1248), (1088, 1920)),
    "21:9": ((960, 416), (1504, 640), (2176, 928)),
}
_ROWS_LATER = {
    "16:9": ((864, 496), (1280, 720), (1920, 1080), (3840, 2160)),
    "4:3": ((752, 560), (1112, 834), (1664, 1248), (3326, 2494)),
    "1:1": ((640, 640), (960, 960), (1440, 1440), (2880, 2880)),
    "3:4": ((560, 752), (834, 1112), (1248, 1664), (2494, 3326)),
    "9:16": ((496, 864), (720, 1280), (1080, 1920), (2160, 3840)),
    "21:9": ((992, 432), (1470, 630), (2206, 946), (4398, 1886)),
}
_LINES = ("480p", "720p", "1080p", "4k")


@dataclass(frozen=True, slots=True)
class Screen:
    """What a video model makes of what."""

    modes: frozenset[str]  # text, first, last (with a first), reference, media (reference videos and sound), draft
    rows: Mapping[str, tuple[tuple[int, int], ...]]  # pixels by ratio, for each of _LINES
    obeys_commands: bool  # in the prompt: --dur 12

    def pixels(self, resolution: str, ratio: str) -> tuple[int, int]:
        """An `adaptive` ratio is that of a picture we do not look at: 16:9."""
        return self.rows.get(ratio, self.rows["16:9"])[_LINES.index(resolution)]


_RATIOS = ("16:9", "4:3", "1:1", "3:4", "9:16", "21:9")
_ANY_VIDEO = {
    "content": Parameter("list", None, required=True, minimum=1),
    "callback_url": FILE,
    "return_last_frame": flag(),
    "execution_expires_after": whole(3600, 259_200, 172_800),
    "safety_identifier": text(longest=64),
    "watermark": flag(),
}
_FIRST_GENERATION = {"service_tier": one_of("default", "flex"), "seed": _SEED, "camera_fixed": flag()}
_1_0 = {**_FIRST_GENERATION, "frames": Parameter("integer", minimum=29, maximum=289)}
_1_5 = {**_FIRST_GENERATION, "generate_audio": flag(True), "draft": flag()}
_2_0 = {"generate_audio": flag(True), "priority": whole(0, 9, 0)}
_2_5 = {
    **_2_0,
    "output_format": one_of("mp4", "mov"),
    "omni_reference_task_type": one_of("auto", "reference", "edit", "extend"),
}


@dataclass(frozen=True, slots=True)
class _Line:
    """A row of the vendor's table of video models."""

    modes: str
    resolutions: tuple[str, ...]  # the default first
    seconds: tuple[int, int]
    parameters: Mapping[str, Parameter]
    ratio: str = "adaptive"
    ratios: tuple[str, ...] = (*_RATIOS, "adaptive")
    default_seconds: int = 5
    later: bool = True  # 1.5 and 2.x: other pixels, and the model may choose the seconds

    def model(self) -> Model:
        seconds = whole(*self.seconds)
        chosen = any_of(one_of(-1), seconds) if self.later else seconds
        parameters = {
            **_ANY_VIDEO,
            **self.parameters,
            "resolution": one_of(*self.resolutions),
            "ratio": Parameter("string", self.ratio, choices=self.ratios),
            "duration": replace(chosen, default=self.default_seconds),
        }
        return Model("video", "video", parameters)

    def screen(self) -> Screen:
        rows = _ROWS_LATER if self.later else _ROWS_OF_1_0
        return Screen(frozenset(self.modes.split()), rows, obeys_commands="seed" in self.parameters)


_UP_TO_1080 = ("720p", "480p", "1080p")
_FROM_1080 = ("1080p", "720p", "480p")
_EVERYTHING = "text first last reference media"
_VIDEO_LINES = {
    "seedance-1-0-lite-t2v-250428": _Line("text", _UP_TO_1080, (2, 12), _1_0, "16:9", _RATIOS, later=False),
    "seedance-1-0-lite-i2v-250428": _Line("first last reference", _UP_TO_1080, (2, 12), _1_0, later=False),
    "seedance-1-0-pro-250528": _Line("text first last", _FROM_1080, (2, 12), _1_0, later=False),
    "seedance-1-0-pro-fast-251015": _Line("text first", _FROM_1080, (2, 12), _1_0, later=False),
    "seedance-1-5-pro-251215": _Line("text first last draft", _UP_TO_1080, (4, 12), _1_5),
    "dreamina-seedance-2-0-260128": _Line(_EVERYTHING, (*_UP_TO_1080, "4k"), (4, 15), _2_0),
    "dreamina-seedance-2-0-fast-260128": _Line(_EVERYTHING, ("720p", "480p"), (4, 15), _2_0),
    "dreamina-seedance-2-0-mini-260615": _Line(_EVERYTHING, ("720p", "480p"), (4, 15), _2_0),
    "dreamina-seedance-2-5-260628": _Line(_EVERYTHING, ("720p", "480p"), (4, 30), _2_5, default_seconds=-1),
}
SCREENS: Mapping[str, Screen] = {name: line.screen() for name, line in _VIDEO_LINES.items()}

MODELS = Models(_PICTURES | {name: line.model() for name, line in _VIDEO_LINES.items()})
