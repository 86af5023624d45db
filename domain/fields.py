"""The public fields of a generation request, as data: what `domain/normalization.py` checks a body against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

Scalar = str | int | float | bool

PROMPT = "generation_prompt"
RATIO = "generation_ratio"
OUTPUT_FORMAT = "generation_output_format"
OUTPUT_NUMBER = "generation_output_number"
INPUT_FILE = "generation_input_file"
LAST_FRAME = "generation_input_file_last_content"
DURATION = "generation_duration"
RESOLUTION = "generation_resolution"
GENERATE_AUDIO = "generation_generate_audio"
PROVIDER_ORDER = "generation_provider_order"

# Names of the public contract: where a model lacks one, the problem is "not here", not "never heard of it".
CONTRACT_NAMES = frozenset(
    {
        PROMPT,
        RATIO,
        OUTPUT_FORMAT,
        OUTPUT_NUMBER,
        DURATION,
        RESOLUTION,
        GENERATE_AUDIO,
        PROVIDER_ORDER,
        INPUT_FILE,
        LAST_FRAME,
    }
)

FASTEST = "fastest"
TEXT_CHARACTERS_MAX = 4000
INPUT_FILES_MAX = 10


class FieldKind(StrEnum):
    TEXT = "text"  # a prompt: never altered, never echoed
    CHOICE = "choice"  # one of listed texts
    NUMBER_CHOICE = "number_choice"  # one of listed whole numbers
    INTEGER = "integer"
    NUMBER = "number"
    SWITCH = "switch"  # true or false
    URL = "url"  # of a file: never altered, never echoed in a refusal
    URL_LIST = "url_list"
    PROVIDER_ORDER = "provider_order"


@dataclass(frozen=True, slots=True)
class Field:
    """One field that a model accepts. Absent and without a default means absent in the normal form."""

    name: str
    kind: FieldKind
    required: bool = False
    default: Scalar | None = None
    choices: tuple[str | int, ...] = ()
    minimum: int | float | None = None  # for texts: characters; for lists: items
    maximum: int | float | None = None


def declared_fields(
    *,
    prompt: bool = True,
    ratios: Sequence[str],
    output_formats: Sequence[str],
    outputs_max: int,
    input_files_min: int = 0,
    input_files_max: int,
    last_frame: bool,
    durations: Sequence[int],
    resolutions: Sequence[str],
    default_resolution: str | None,
    audio: bool,
    providers: Sequence[str],
    extras: Sequence[Field],
) -> tuple[Field, ...]:
    """All fields of a model in the order in which they are checked: core, then extras. First value = default."""
    fields = []
    if prompt:
        fields.append(Field(PROMPT, FieldKind.TEXT, required=True, minimum=1, maximum=TEXT_CHARACTERS_MAX))
    if ratios:
        fields.append(Field(RATIO, FieldKind.CHOICE, default=ratios[0], choices=tuple(ratios)))
    fields.append(Field(OUTPUT_FORMAT, FieldKind.CHOICE, default=output_formats[0], choices=tuple(output_formats)))
    fields.append(Field(OUTPUT_NUMBER, FieldKind.INTEGER, default=1, minimum=1, maximum=outputs_max))
    if input_files_max:
        required, least = input_files_min > 0, max(input_files_min, 1)
        fields.append(Field(INPUT_FILE, FieldKind.URL_LIST, required, minimum=least, maximum=input_files_max))
    if last_frame:
        fields.append(Field(LAST_FRAME, FieldKind.URL))
    if durations:
        fields.append(Field(DURATION, FieldKind.NUMBER_CHOICE, required=True, choices=tuple(durations)))
    if resolutions:
        fields.append(Field(RESOLUTION, FieldKind.CHOICE, default=default_resolution, choices=tuple(resolutions)))
    if audio:
        fields.append(Field(GENERATE_AUDIO, FieldKind.SWITCH, default=False))
    fields.append(Field(PROVIDER_ORDER, FieldKind.PROVIDER_ORDER, default=FASTEST, choices=tuple(providers)))
    return (*fields, *extras)


def values_of(field: Field) -> tuple[Scalar, ...]:
    """Every value of a field that has a list of them; empty where it has none."""
    if field.kind is FieldKind.SWITCH:
        return (True, False)
    if field.name == OUTPUT_NUMBER and isinstance(field.maximum, int):
        return tuple(range(1, field.maximum + 1))
    return () if field.kind is FieldKind.PROVIDER_ORDER else field.choices
