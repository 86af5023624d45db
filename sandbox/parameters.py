"""The vocabulary in which a model's input is described."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

FAL_PRESETS: Mapping[str, tuple[int, int]] = {
    "square_hd": (1024, 1024),
    "square": (512, 512),
    "portrait_4_3": (768, 1024),
    "portrait_16_9": (576, 1024),
    "landscape_4_3": (1024, 768),
    "landscape_16_9": (1024, 576),
}


@dataclass(frozen=True, slots=True)
class Parameter:
    type: Literal[
        "string",
        "integer",
        "number",
        "boolean",
        "file",
        "files",
        "strings",
        "image_size",
        "list",
        "object",
        "objects",
        "any_of",
    ]
    default: Any = None
    required: bool = False
    choices: tuple[Any, ...] = ()  # `WxH` and `W*H` stand for any pair of numbers; of `image_size`: besides fal's own
    minimum: float | None = None
    maximum: float | None = (
        None  # for `files`, `strings`, `objects` and `list`: the most items; of `image_size`: a side
    )
    multiple_of: int | None = None
    nullable: bool = False
    longest: int | None = None  # of a string, in UTF-16 code units
    members: Mapping[str, Parameter] = field(default_factory=dict)  # of an object, or of each of the objects
    options: tuple[Parameter, ...] = ()  # of `any_of`


@dataclass(frozen=True, slots=True)
class Condition:
    """A parameter is given, or has one of these values (as text)."""

    name: str
    values: tuple[str, ...] = ()

    def holds(self, asked: Mapping[str, Any]) -> bool:
        value = asked.get(self.name)
        return str(value) in self.values if self.values else bool(value)

    def __str__(self) -> str:
        return f"{self.name} {' or '.join(self.values)}".rstrip()


@dataclass(frozen=True, slots=True)
class Together:
    """Where `one` holds, `other` must hold too (`needed`), or must not."""

    one: Condition
    other: Condition
    needed: bool

    def allows(self, asked: Mapping[str, Any]) -> bool:
        return not self.one.holds(asked) or self.other.holds(asked) is self.needed

    def __str__(self) -> str:
        return f"{self.one} {'requires' if self.needed else 'cannot be combined with'} {self.other}"


@dataclass(frozen=True, slots=True)
class Model:
    """A model of one provider. `output`: how its files are wrapped; `community`: its versions, where it needs one."""

    kind: Literal["image", "video"]
    output: Literal["string", "list", "image", "images", "video"]
    parameters: Mapping[str, Parameter]
    sizes: Mapping[str, tuple[int, int]] | None = None  # by aspect ratio; None: computed from the ratio
    short_side: int = 1024  # of a video without a resolution parameter
    duration_s: float = 5  # of a video without a duration parameter
    flags_nsfw: bool = False  # fal: the answer has has_nsfw_concepts
    community: tuple[str, ...] = ()
    format: str = "png"  # of an image, where no parameter chooses
    fps: float = 16  # of a video that is asked for in frames, without a parameter for it
    rules: tuple[Together, ...] = ()  # between parameters
    source: str = ""  # where it is not the provider's published schema

    def with_defaults(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return {name: parameter.default for name, parameter in self.parameters.items()} | dict(given)


def text(default: str | None = None, *, required: bool = False, longest: int | None = None) -> Parameter:
    return Parameter("string", default, required, longest=longest)


def one_of(default: Any, *others: Any) -> Parameter:
    """A choice; the first one named is the provider's default."""
    choices = (default, *others)
    return Parameter("integer" if isinstance(default, int) else "string", default, choices=choices)


def whole(minimum: int, maximum: int, default: int | None = None, multiple_of: int | None = None) -> Parameter:
    return Parameter("integer", default, minimum=minimum, maximum=maximum, multiple_of=multiple_of)


def number(minimum: float, maximum: float, default: float | None = None) -> Parameter:
    return Parameter("number", default, minimum=minimum, maximum=maximum)


def flag(default: bool = False) -> Parameter:
    return Parameter("boolean", default)


def files(most: int, *, required: bool = False) -> Parameter:
    return Parameter("files", None, required, maximum=most)


def nested(required: bool = False, /, **members: Parameter) -> Parameter:
    """An object with these members and no others."""
    return Parameter("object", None, required, members=members)


def objects(least: int, most: int, /, *, required: bool = False, **members: Parameter) -> Parameter:
    """A list of objects with these members and no others."""
    return Parameter("objects", None, required, minimum=least, maximum=most, members=members)


def any_of(*options: Parameter, required: bool = False) -> Parameter:
    return Parameter("any_of", None, required, options=options)


PROMPT = text(required=True)
FILE = Parameter("file")
REQUIRED_FILE = Parameter("file", required=True)
SEED = Parameter("integer")
