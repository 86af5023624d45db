"""What was delivered, measured against what was asked for."""

from __future__ import annotations

from typing import Any

import pytest

from domain.generation import Asset, Deviation, Measure
from domain.measuring import deviations


def an_asset(
    width: int | None = 1024,
    height: int | None = 1024,
    *,
    content_type: str = "image/png",
    duration_s: float | None = None,
) -> Asset:
    return Asset("us/a/g/1/0", content_type, 10, "00" * 32, width, height, duration_s)


def a_video(width: int, height: int, duration_s: float | None = 5.0) -> Asset:
    return an_asset(width, height, content_type="video/mp4", duration_s=duration_s)


def measured(asset: Asset, **asked: Any) -> list[tuple[Measure, object, object]]:
    params = {f"generation_{name}": value for name, value in asked.items()}
    return [(found.measure, found.asked, found.delivered) for found in deviations(params, [asset])]


def test_what_was_asked_for_does_not_deviate():
    asked = {
        "output_number": 1,
        "ratio": "1:1",
        "output_format": "png",
        "prompt": "a boat",
        "provider_order": "fastest",
    }

    assert measured(an_asset(), **asked) == []


@pytest.mark.parametrize(
    ("ratio", "pixels"),
    [
        ("16:9", (1344, 768)),
        ("16:9", (832, 480)),
        ("16:9", (1820, 1024)),
        ("9:16", (768, 1344)),
        ("21:9", (1536, 672)),
        ("3:2", (1248, 832)),
        ("1:1", (1, 1)),
        pytest.param("match_input_image", (7, 3), id="a word that names no ratio"),
    ],
)
def test_a_ratio_within_three_percent_is_the_one_asked_for(ratio: str, pixels: tuple[int, int]):
    assert measured(an_asset(*pixels), ratio=ratio) == []


@pytest.mark.parametrize(
    ("ratio", "pixels"),
    [("16:9", (1024, 1024)), ("16:9", (768, 1344)), ("16:9", (1280, 768)), ("4:3", (1248, 832)), ("1:1", (1040, 1000))],
)
def test_another_ratio_deviates(ratio: str, pixels: tuple[int, int]):
    width, height = pixels

    assert measured(an_asset(width, height), ratio=ratio) == [(Measure.RATIO, ratio, f"{width}x{height}")]


@pytest.mark.parametrize(
    ("resolution", "pixels"),
    [
        pytest.param("720p", (1280, 720), id="720p wide"),
        pytest.param("720p", (720, 1280), id="720p upright"),
        pytest.param("720p", (960, 960), id="720p square of the same area"),
        pytest.param("480p", (960, 416), id="480p very wide"),
        pytest.param("1080p", (1920, 1088), id="1080p in blocks of 16"),
        pytest.param("2160p", (3840, 2160), id="2160p"),
        pytest.param("1K", (1344, 768), id="1K wide"),
        pytest.param("2K", (2048, 2048), id="2K"),
        pytest.param("2K", (2560, 1440), id="2K of the same area"),
        pytest.param("4k", (3840, 2160), id="4k of video"),
        pytest.param("1MP", (1024, 1024), id="a megapixel"),
        pytest.param("4MP", (2688, 1536), id="four megapixels"),
        pytest.param("standard", (3, 5), id="a name that is no size"),
    ],
)
def test_a_size_of_the_class_asked_for_does_not_deviate(resolution: str, pixels: tuple[int, int]):
    assert measured(an_asset(*pixels), resolution=resolution) == []


@pytest.mark.parametrize(
    ("resolution", "pixels"),
    [
        ("720p", (960, 540)),
        ("720p", (1920, 1080)),
        ("540p", (832, 480)),
        ("2K", (1024, 1024)),
        ("4K", (2048, 2048)),
        ("4MP", (1024, 1024)),
    ],
)
def test_a_size_of_another_class_deviates(resolution: str, pixels: tuple[int, int]):
    width, height = pixels

    assert measured(an_asset(width, height), resolution=resolution) == [
        (Measure.RESOLUTION, resolution, f"{width}x{height}")
    ]


@pytest.mark.parametrize(("seconds", "deviates"), [(5.0, False), (5.5, False), (4.5, False), (5.6, True), (0.0, True)])
def test_seconds_may_be_off_by_half_a_second(seconds: float, deviates: bool):
    found = measured(a_video(1280, 720, seconds), duration=5)

    assert found == ([(Measure.SECONDS, "5", f"{seconds:.3f}")] if deviates else [])


def test_a_jpg_where_a_png_was_asked_for_deviates():
    assert measured(an_asset(content_type="image/jpeg"), output_format="png") == [(Measure.TYPE, "png", "jpg")]


@pytest.mark.parametrize(
    "asset",
    [
        pytest.param(an_asset(None, None), id="no size"),
        pytest.param(a_video(1280, 720, None), id="no length"),
    ],
)
def test_what_a_file_does_not_tell_is_not_measured(asset: Asset):
    asked: dict[str, Any] = {"duration": 5}
    if asset.width is None:
        asked |= {"ratio": "21:9", "resolution": "4K"}

    assert measured(asset, **asked) == []


def test_outputs_that_are_missing_are_one_deviation_of_all():
    found = deviations({"generation_output_number": 3}, [an_asset(), an_asset()])

    assert found == [Deviation(Measure.COUNT, "3", "2")]


def test_each_output_is_measured_by_itself():
    found = deviations(
        {"generation_output_number": 3, "generation_ratio": "1:1"}, [an_asset(), an_asset(1280, 720), an_asset(9, 16)]
    )

    assert [(one.measure, one.output) for one in found] == [(Measure.RATIO, 1), (Measure.RATIO, 2)]


@pytest.mark.parametrize(
    ("defaulted", "measures"),
    [
        pytest.param(["generation_ratio"], [], id="left to us"),
        pytest.param([], [Measure.RATIO], id="asked for"),
    ],
)
def test_beside_an_input_file_only_a_ratio_that_was_asked_for_is_measured(
    defaulted: list[str], measures: list[Measure]
):
    params = {"generation_ratio": "16:9", "generation_input_file": ["https://files.example.com/a.png"]}

    assert [found.measure for found in deviations(params, [an_asset()], defaulted=defaulted)] == measures
