"""What a customer's file must be, what its copy is called, and what providers are told."""

from __future__ import annotations

import io
import struct
import zlib
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from domain.errors import (
    InputFileRefused,
    InputFormatUnsupported,
    InputImageTooLarge,
    InputImageTooSmall,
    ParameterOutOfRange,
)
from domain.generation import GenerationRequest, MediaType
from domain.input_files import (
    Place,
    Wanted,
    address_life,
    addresses_of,
    checked_type,
    copy_key,
    handing_on,
    wanted,
)
from domain.planning import plan_generation
from tests.support.catalog import CATALOG, full_body
from tests.support.requests import a_candidate, a_request

PLACE = Place("generation_input_file", 2)
FIRST, LAST = "https://files.example.com/first.png", "https://files.example.com/last.png"


def picture(kind: str = "PNG", width: int = 64, height: int = 64) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(file, kind)
    return file.getvalue()


def checked(data: bytes, expected: Wanted = Wanted()) -> str:  # noqa: B008 - frozen
    return checked_type(io.BytesIO(data), len(data), PLACE, expected)


def claiming(width: int, height: int) -> bytes:
    """A whole PNG of a hundred bytes whose header promises that many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 100)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("kind", "content_type"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp")]
)
def test_a_picture_is_known_by_its_content(kind: str, content_type: str):
    assert checked(picture(kind)) == content_type


@pytest.mark.parametrize(
    ("data", "error"),
    [
        pytest.param(b"", InputFileRefused, id="empty"),
        pytest.param(picture("GIF"), InputFormatUnsupported, id="GIF"),
        pytest.param(picture("BMP"), InputFormatUnsupported, id="BMP"),
        pytest.param(picture("TIFF"), InputFormatUnsupported, id="TIFF"),
        pytest.param(picture("AVIF"), InputFormatUnsupported, id="AVIF"),
        pytest.param(b"\0\0\0\x10ftypisom\0\0\0\0", InputFormatUnsupported, id="a video"),
        pytest.param(b"<!doctype html><title>Not found</title>", InputFormatUnsupported, id="a page"),
        pytest.param(b"<svg xmlns='http://www.w3.org/2000/svg'/>", InputFormatUnsupported, id="SVG"),
        pytest.param(b"x", InputFormatUnsupported, id="one byte"),
        pytest.param(picture("PNG")[:-1], InputFileRefused, id="PNG cut off"),
        pytest.param(picture("JPEG")[:-2], InputFileRefused, id="JPEG cut off"),
        pytest.param(picture("WEBP")[:-8], InputFileRefused, id="WebP cut off"),
        pytest.param(picture("PNG")[:24], InputFileRefused, id="a header alone"),
        pytest.param(b"\xff\xd8\xff\xe0" + b"garbage" * 9, InputFileRefused, id="a JPEG in name only"),
        pytest.param(b"RIFF\xff\xff\xff\xffWEBPVP8 " + bytes(50), InputFileRefused, id="a WebP of 4 GB"),
        pytest.param(picture("PNG", 63, 64), InputImageTooSmall, id="63 wide"),
        pytest.param(picture("JPEG", 64, 63), InputImageTooSmall, id="63 high"),
        pytest.param(claiming(0, 100), InputImageTooSmall, id="no width"),
        pytest.param(picture("PNG", 8193, 64), InputImageTooLarge, id="8193 wide"),
        pytest.param(picture("WEBP", 64, 8193), InputImageTooLarge, id="8193 high"),
        pytest.param(claiming(2**32 - 1, 2**32 - 1), InputImageTooLarge, id="a header bomb"),
        pytest.param(claiming(100_000, 100), InputImageTooLarge, id="more than a record may hold"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_its_place(data: bytes, error: type[InputFileRefused]):
    with pytest.raises(InputFileRefused) as caught:
        checked(data)

    assert type(caught.value) is error
    assert caught.value.details == {"field": "generation_input_file", "index": 2}
    assert caught.value.message.startswith("generation_input_file[2] ")


@pytest.mark.parametrize(("width", "height"), [(64, 64), (8192, 64), (64, 8192)])
def test_the_bounds_themselves_are_within_them(width: int, height: int):
    assert checked(picture("PNG", width, height)) == "image/png"


@given(st.sampled_from(["PNG", "JPEG", "WEBP"]), st.integers(0, 2000), st.binary(max_size=40))
def test_a_file_that_was_tampered_with_is_accepted_or_refused_by_name(kind: str, at: int, junk: bytes):
    data = picture(kind)
    at %= len(data)

    with suppress(InputFileRefused):  # any other error is a crash
        checked(data[:at] + junk + data[at + len(junk) :])


# --- videos --------------------------------------------------------------------------------------------------------

ACT_TWO = CATALOG.model("runway/act-two")


def a_video(**options: Any) -> bytes:
    """Three seconds."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4", options={name: str(value) for name, value in options.items()}) as container:
        stream = container.add_stream("mpeg4", rate=2)
        stream.width, stream.height = 64, 64
        for packet in [p for _ in range(6) for p in stream.encode(av.VideoFrame(64, 64, "yuv420p"))] + stream.encode():
            container.mux(packet)
    return file.getvalue()


def test_a_video_is_accepted_where_the_model_needs_one_and_an_image_is_not():
    assert checked(a_video(), Wanted(MediaType.VIDEO)) == "video/mp4"
    with pytest.raises(InputFormatUnsupported, match="is not an MP4 file"):
        checked(picture(), Wanted(MediaType.VIDEO))


@pytest.mark.parametrize("seconds_max", [3, 4])
def test_a_video_may_be_as_long_as_what_is_paid_for(seconds_max: int):
    assert checked(a_video(), Wanted(MediaType.VIDEO, seconds_max)) == "video/mp4"


def test_a_video_that_is_longer_than_what_is_paid_for_is_refused():
    with pytest.raises(ParameterOutOfRange, match=r"has 3\.0 seconds; generation_duration") as caught:
        checked(a_video(), Wanted(MediaType.VIDEO, 2))

    assert caught.value.details == {"field": "generation_duration"}


def test_a_video_of_unknown_length_cannot_be_billed():
    endless = a_video(movflags="frag_keyframe+empty_moov")

    assert checked(endless, Wanted(MediaType.VIDEO)) == "video/mp4"
    with pytest.raises(InputFileRefused, match="does not say how long"):
        checked(endless, Wanted(MediaType.VIDEO, 30))


def test_what_each_file_must_be_depends_on_its_place():
    params = {"generation_input_file": [FIRST, LAST], "generation_duration": 5}

    assert wanted(ACT_TWO, params) == {FIRST: Wanted(MediaType.IMAGE), LAST: Wanted(MediaType.VIDEO, 5)}


def test_one_file_cannot_be_the_image_and_the_video():
    with pytest.raises(InputFormatUnsupported) as caught:
        wanted(ACT_TWO, {"generation_input_file": [FIRST, FIRST], "generation_duration": 5})

    assert caught.value.details == {"field": "generation_input_file", "index": 1}


def test_first_and_last_frames_are_images():
    params = {"generation_input_file": [FIRST], "generation_input_file_last_content": LAST, "generation_duration": 8}

    assert wanted(CATALOG.model("google/veo-3.1-fast"), params) == {FIRST: Wanted(), LAST: Wanted()}


# --- handing on ----------------------------------------------------------------------------------------------------


def planned(
    identifier: str, available: frozenset[str] = frozenset({"replicate", "fal"}), **fields: Any
) -> GenerationRequest:
    model = CATALOG.model(identifier)
    return plan_generation(
        CATALOG,
        account_id="account",
        api_key_id=None,
        region="us",
        model_identifier=identifier,
        media_type=model.media_type,
        body=({"generation_prompt": FIRST} if model.prompt else {}) | fields,
        available_providers=available,
        generation_id="00000000-0000-4000-8000-000000000001",
        admit_by=datetime(2026, 11, 20, tzinfo=UTC).timestamp(),
        deadlines={MediaType.IMAGE: 600, MediaType.VIDEO: 1800},
    )


def test_providers_get_the_copies_and_the_record_keeps_the_customers_addresses():
    asked = planned(
        "google/veo-3.1-fast",
        generation_duration=8,
        generation_input_file=[FIRST],
        generation_input_file_last_content=LAST,
    )

    ready = handing_on(CATALOG.model(asked.model), asked, {FIRST: "https://ours/0.png", LAST: "https://ours/1.png"})

    replicate, fal = (candidate.native_input for candidate in ready.candidates)
    assert (replicate["image"], replicate["last_frame"]) == ("https://ours/0.png", "https://ours/1.png")
    assert (fal["first_frame_url"], fal["last_frame_url"]) == ("https://ours/0.png", "https://ours/1.png")
    assert replace(ready, candidates=asked.candidates) == asked


def test_a_prompt_that_says_the_same_as_an_address_stays():
    asked = planned("google/nano-banana", generation_input_file=[FIRST, LAST, FIRST])

    ready = handing_on(CATALOG.model(asked.model), asked, {FIRST: "https://ours/0.png", LAST: "https://ours/1.png"})

    for candidate, member in zip(ready.candidates, ("image_input", "image_urls"), strict=True):
        assert candidate.native_input["prompt"] == FIRST
        assert candidate.native_input[member] == ["https://ours/0.png", "https://ours/1.png", "https://ours/0.png"]


@pytest.mark.parametrize("model", [m for m in CATALOG.models.values() if m.input_files_max], ids=lambda m: m.identifier)
def test_no_provider_of_any_model_sees_an_address_of_the_customer(model: Any):
    asked = planned(model.identifier, frozenset(CATALOG.providers), **full_body(model))
    copies = {address: f"https://ours/{number}" for number, address in enumerate(addresses_of(asked.params))}

    ready = handing_on(model, asked, copies)

    assert [candidate.provider for candidate in ready.candidates] == asked.provider_order
    for candidate in ready.candidates:
        assert "files.example.com" not in str(candidate.native_input)
        assert "https://ours/0" in str(candidate.native_input)


def test_a_file_that_is_named_twice_is_one_file():
    params = {"generation_input_file": [LAST, FIRST, LAST], "generation_input_file_last_content": FIRST}

    assert addresses_of(params) == {
        LAST: Place("generation_input_file", 0),
        FIRST: Place("generation_input_file", 1),
    }


def test_the_places_of_a_request_without_files_are_none():
    assert addresses_of({"generation_prompt": FIRST}) == {}


def test_the_key_of_a_copy_says_what_it_is():
    assert copy_key("2d6b8f0e", 3, "image/jpeg") == "inputs/2d6b8f0e/3.jpg"


@pytest.mark.parametrize(
    ("deadline_s", "candidates", "life"),
    [
        (600, 1, timedelta(minutes=70)),
        (1800, 2, timedelta(hours=2)),
        (7 * 86_400, 8, timedelta(days=7)),
    ],
)
def test_the_address_of_a_copy_outlives_every_attempt_but_no_store_signs_for_longer_than_a_week(
    deadline_s: int, candidates: int, life: timedelta
):
    request = replace(a_request(deadline_s=deadline_s), candidates=[a_candidate()] * candidates)

    assert address_life(request) == life
