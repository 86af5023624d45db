"""Files that a customer gives with a request: what is accepted, what a copy is called, and who is told of it.

The customer's address is fetched once, by us. What was checked is kept under a key of ours, and providers only ever see
the address of that copy; the record and the customer keep the customer's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, BinaryIO

from domain.assets import EXTENSIONS
from domain.errors import (
    InputFileRefused,
    InputFormatUnsupported,
    InputImageTooLarge,
    InputImageTooSmall,
    ParameterOutOfRange,
    ProviderInvalidOutput,
)
from domain.fields import DURATION, INPUT_FILE, LAST_FRAME
from domain.generation import GenerationRequest, MediaType
from domain.mapping import compile_native
from domain.media import HEAD_BYTES, media_type_of, structure
from domain.model import Model

BYTES_MAX = 20 * 2**20
SIDE_MIN, SIDE_MAX = 64, 8192  # pixels
LENGTH_TOLERANCE_S = 0.1  # a frame or two over
CONTENT_TYPES = {
    MediaType.IMAGE: frozenset({"image/jpeg", "image/png", "image/webp"}),
    MediaType.VIDEO: frozenset({"video/mp4"}),
}
_NAMED = {MediaType.IMAGE: "a JPEG, PNG or WebP", MediaType.VIDEO: "an MP4"}

ADDRESS_LIFE_MARGIN = timedelta(hours=1)  # for waits, repeats and outages beside the deadlines of the attempts
ADDRESS_LIFE_MAX = timedelta(days=7)  # no store signs an address for longer


@dataclass(frozen=True)
class Place:
    """Where in a body an address stands. `index` is None where the field holds one address."""

    field: str
    index: int | None

    @property
    def name(self) -> str:
        return self.field if self.index is None else f"{self.field}[{self.index}]"

    @property
    def details(self) -> dict[str, Any]:
        """For an error about the file."""
        return {"field": self.field} | ({} if self.index is None else {"index": self.index})


def addresses_of(params: Mapping[str, Any]) -> dict[str, Place]:
    """Every different address of a normal form, with the place where it stands first."""
    found: dict[str, Place] = {}
    for index, address in enumerate(params.get(INPUT_FILE, ())):
        found.setdefault(address, Place(INPUT_FILE, index))
    if LAST_FRAME in params:
        found.setdefault(params[LAST_FRAME], Place(LAST_FRAME, None))
    return found


@dataclass(frozen=True)
class Wanted:
    """What a file must be. `seconds_max` is None where the length of a video does not matter."""

    kind: MediaType = MediaType.IMAGE
    seconds_max: int | None = None


def wanted(model: Model, params: Mapping[str, Any]) -> dict[str, Wanted]:
    """What the file at each address of a normal form must be. A video whose length is billed must not be longer than
    what the customer pays for.

    Raises InputFormatUnsupported where one file stands for an image and for a video.
    """
    found: dict[str, Wanted] = {}
    for index, address in enumerate(params.get(INPUT_FILE, ())):
        kind = model.input_kind(index)
        billed = model.duration_of_input and kind is MediaType.VIDEO
        if found.setdefault(address, Wanted(kind, params[DURATION] if billed else None)).kind is not kind:
            place = Place(INPUT_FILE, index)
            raise InputFormatUnsupported(f"{place.name} is not {_NAMED[kind]} file.", details=place.details)
    if LAST_FRAME in params:
        found.setdefault(params[LAST_FRAME], Wanted())
    return found


def checked_type(file: BinaryIO, size: int, place: Place, wanted: Wanted) -> str:
    """The content type of a file that may be handed on, by its content. Reads the file, but not into memory.

    Raises InputFormatUnsupported, InputImageTooSmall, InputImageTooLarge, InputFileRefused for one that is empty,
    broken or cut off, and ParameterOutOfRange for a video that is longer than what is paid for. That the structure is
    whole is proved here; that every pixel decodes, only by who decodes it.
    """
    file.seek(0)
    kind = media_type_of(file.read(HEAD_BYTES))
    if size > 0 and kind not in CONTENT_TYPES[wanted.kind]:
        raise InputFormatUnsupported(f"{place.name} is not {_NAMED[wanted.kind]} file.", details=place.details)
    try:
        info = structure(file, size)
    except ProviderInvalidOutput as broken:
        raise InputFileRefused(f"{place.name} is empty, broken or cut off.", details=place.details) from broken
    measured = f"{place.name} has {info.width} x {info.height} pixels"
    if min(info.width, info.height) < SIDE_MIN:
        raise InputImageTooSmall(f"{measured}; each side needs at least {SIDE_MIN}.", details=place.details)
    if max(info.width, info.height) > SIDE_MAX:
        raise InputImageTooLarge(f"{measured}; each side may have at most {SIDE_MAX}.", details=place.details)
    if wanted.seconds_max is not None:
        _check_length(info.duration_s, wanted.seconds_max, place)
    return info.content_type


def _check_length(duration_s: float | None, seconds_max: int, place: Place) -> None:
    if duration_s is None:
        raise InputFileRefused(f"{place.name} does not say how long it is.", details=place.details)
    if duration_s > seconds_max + LENGTH_TOLERANCE_S:
        message = f"{place.name} has {duration_s:.1f} seconds; {DURATION} must not be less than that."
        raise ParameterOutOfRange(message, details={"field": DURATION})


def copy_key(generation_id: str, number: int, content_type: str) -> str:
    """The generation's id is random, so the key cannot be guessed."""
    return f"inputs/{generation_id}/{number}.{EXTENSIONS[content_type]}"


def address_life(request: GenerationRequest) -> timedelta:
    """How long the address of a copy must be valid: for every attempt, one after the other."""
    attempts = timedelta(seconds=request.deadline_s * len(request.candidates))
    return min(attempts + ADDRESS_LIFE_MARGIN, ADDRESS_LIFE_MAX)


def handing_on(model: Model, request: GenerationRequest, copies: Mapping[str, str]) -> GenerationRequest:
    """The same request, but providers are given the copies: `copies` has our address for each of the customer's."""
    params = dict(request.params)
    params[INPUT_FILE] = [copies[address] for address in request.params[INPUT_FILE]]
    if LAST_FRAME in params:
        params[LAST_FRAME] = copies[params[LAST_FRAME]]
    candidates = [
        replace(candidate, native_input=compile_native(model.entry(candidate.provider), params).native_input)
        for candidate in request.candidates
    ]
    return replace(request, candidates=candidates)
