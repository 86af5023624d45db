"""Normal form to native request."""

from __future__ import annotations

import itertools
import json
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import pytest

from domain.mapping import CannotServe, Fate, FieldFate, NativeRequest, compile_native, field_fates
from domain.model import Model
from domain.normalization import normalize
from tests.support.catalog import A_FILE, CATALOG, MODELS, full_body, minimal_body, with_a_file, with_rule

FLUX = CATALOG.model("bfl/flux-schnell")
NANO = CATALOG.model("google/nano-banana")
VEO = CATALOG.model("google/veo-3.1-fast")
HAILUO = CATALOG.model("minimax/hailuo-02")


def compiled(identifier: str, provider: str, **fields: Any) -> NativeRequest:
    model = CATALOG.model(identifier)
    return compile_native(model.entry(provider), normalize(model, model.media_type, minimal_body(model) | fields))


def native(identifier: str, provider: str, **fields: Any) -> tuple[str, dict[str, Any]]:
    request = compiled(identifier, provider, **fields)
    return request.native_model, request.native_input


@pytest.mark.parametrize(
    ("identifier", "provider", "fields", "member", "value"),
    [
        pytest.param(
            "bfl/flux-schnell", "replicate", {"generation_ratio": "16:9"}, "aspect_ratio", "16:9", id="rename"
        ),
        pytest.param("bfl/flux-schnell", "replicate", {}, "megapixels", "1", id="constant"),
        pytest.param(
            "bfl/flux-schnell", "fal", {"generation_ratio": "9:16"}, "image_size", "portrait_16_9", id="ratio"
        ),
        pytest.param(
            "qwen/image", "fal", {"generation_ratio": "16:9"}, "image_size", {"width": 1664, "height": 928}, id="pixels"
        ),
        pytest.param(
            "bfl/flux-schnell", "replicate", {"generation_output_format": "jpg"}, "output_format", "jpg", id="jpg"
        ),
        pytest.param(
            "bfl/flux-schnell", "fal", {"generation_output_format": "jpg"}, "output_format", "jpeg", id="jpeg"
        ),
        pytest.param("pixverse/v5", "replicate", {"generation_duration": 8}, "duration", 8, id="seconds"),
        pytest.param("pixverse/v5", "fal", {"generation_duration": 8}, "duration", "8", id="seconds as text"),
        pytest.param(
            "google/veo-3.1-fast", "fal", {"generation_duration": 8}, "duration", "8s", id="seconds with unit"
        ),
        pytest.param("google/veo-3.1-fast", "fal", {}, "generate_audio", False, id="false is sent"),
        pytest.param(
            "bfl/flux-1.1-pro", "replicate", {"generation_moderation": True}, "safety_tolerance", 1, id="number"
        ),
        pytest.param("bfl/flux-1.1-pro", "fal", {"generation_moderation": True}, "safety_tolerance", "1", id="text"),
        pytest.param("bfl/flux-1.1-pro", "fal", {}, "enhance_prompt", False, id="off is false"),
        pytest.param("ideogram/v3-turbo", "replicate", {}, "magic_prompt_option", "Off", id="off is Off"),
    ],
)
def test_a_field_is_translated(identifier: str, provider: str, fields: dict[str, Any], member: str, value: object):
    assert native(identifier, provider, **fields)[1][member] == value


@pytest.mark.parametrize(
    ("resolution", "endpoint", "duration"), [("768p", "standard", {"duration": "6"}), ("1080p", "pro", {})]
)
def test_a_resolution_may_choose_the_endpoint(resolution: str, endpoint: str, duration: dict[str, str]):
    model, sent = native("minimax/hailuo-02", "fal", generation_duration=6, generation_resolution=resolution)

    assert model == f"fal-ai/minimax/hailuo-02/{endpoint}/text-to-video"
    assert sent == {"prompt": "Harbour at dawn", "prompt_optimizer": False, **duration}


def test_an_option_that_was_not_set_is_not_sent():
    assert not {"seed", "num_inference_steps"} & set(native("bfl/flux-schnell", "fal")[1])


def test_a_value_that_a_provider_does_not_have_cannot_be_served_there():
    assert native("bfl/flux-schnell", "replicate", generation_output_format="webp")[1]["output_format"] == "webp"
    with pytest.raises(CannotServe) as caught:
        native("bfl/flux-schnell", "fal", generation_output_format="webp")

    assert (caught.value.provider, caught.value.field) == ("fal", "generation_output_format")


def test_a_count_that_a_provider_has_no_parameter_for_cannot_be_served_there():
    entry = CATALOG.model("google/imagen-4").entry("replicate")
    normal = normalize(
        CATALOG.model("google/imagen-4"), CATALOG.model("google/imagen-4").media_type, {"generation_prompt": "a"}
    )

    with pytest.raises(CannotServe) as caught:
        compile_native(entry, normal | {"generation_output_number": 2})

    assert caught.value.field == "generation_output_number"


def test_a_count_of_files_that_a_provider_does_not_take_cannot_be_served_there():
    entry = NANO.entry("fal")
    narrow = with_rule(entry, "generation_input_file", single=True, items_max=1)
    one, two = (normalize(NANO, NANO.media_type, with_a_file(NANO) | files(count)) for count in (1, 2))

    assert compile_native(narrow, one).native_input["image_urls"] == A_FILE
    with pytest.raises(CannotServe) as caught:
        compile_native(narrow, two)

    assert caught.value.field == "generation_input_file"


def test_a_provider_that_takes_no_files_cannot_serve_any():
    entry = VEO.entry("replicate")
    for field in ("generation_input_file", "generation_input_file_last_content"):
        entry = with_rule(entry, field, to=(), single=False, only=frozenset[str](), because="this endpoint takes text")

    for body in (with_a_file(VEO), with_a_file(VEO) | {"generation_input_file_last_content": A_FILE}):
        with pytest.raises(CannotServe):
            compile_native(entry, normalize(VEO, VEO.media_type, body))


def files(count: int) -> dict[str, list[str]]:
    return {"generation_input_file": [A_FILE] * count}


FIRST, LAST = "https://files.example.com/first.png", "https://files.example.com/last.png"


@pytest.mark.parametrize(
    ("identifier", "provider", "endpoint", "first", "last"),
    [
        ("google/veo-3.1-fast", "replicate", "google/veo-3.1-fast", "image", None),
        ("google/veo-3.1-fast", "replicate", "google/veo-3.1-fast", "image", "last_frame"),
        ("google/veo-3.1-fast", "fal", "fal-ai/veo3.1/fast/image-to-video", "image_url", None),
        (
            "google/veo-3.1-fast",
            "fal",
            "fal-ai/veo3.1/fast/first-last-frame-to-video",
            "first_frame_url",
            "last_frame_url",
        ),
        ("kling/v2.5-turbo-pro", "replicate", "kwaivgi/kling-v2.5-turbo-pro", "start_image", "end_image"),
        (
            "kling/v2.5-turbo-pro",
            "fal",
            "fal-ai/kling-video/v2.5-turbo/pro/image-to-video",
            "image_url",
            "tail_image_url",
        ),
        ("minimax/hailuo-02", "fal", "fal-ai/minimax/hailuo-02/standard/image-to-video", "image_url", "end_image_url"),
        ("pixverse/v5", "fal", "fal-ai/pixverse/v5/image-to-video", "image_url", None),
        ("pixverse/v5", "fal", "fal-ai/pixverse/v5/transition", "first_image_url", "end_image_url"),
    ],
)
def test_files_choose_the_endpoint_and_its_members(
    identifier: str, provider: str, endpoint: str, first: str, last: str | None
):
    given = {"generation_input_file": [FIRST]} | ({"generation_input_file_last_content": LAST} if last else {})

    model, sent = native(identifier, provider, **given)

    assert model == endpoint
    assert {name: value for name, value in sent.items() if value in (FIRST, LAST)} == {
        first: FIRST,
        **({last: LAST} if last else {}),
    }


def test_files_and_a_resolution_choose_the_endpoint_together():
    given = {"generation_input_file": [FIRST], "generation_resolution": "1080p"}

    model, sent = native("minimax/hailuo-02", "fal", **given)

    assert model == "fal-ai/minimax/hailuo-02/pro/image-to-video"
    assert "duration" not in sent


def test_a_ratio_that_the_file_decides_is_not_sent_and_its_fate_says_why():
    model = CATALOG.model("kling/v2.5-turbo-pro")
    body = with_a_file(model) | {"generation_ratio": "9:16"}
    normal = normalize(model, model.media_type, body)

    sent = compile_native(model.entry("fal"), normal).native_input
    fates = {fate.field: fate for fate in field_fates(model, model.entry("fal"), normal, sent=body)}

    assert "aspect_ratio" not in sent
    assert fates["generation_ratio"] == FieldFate(
        "generation_ratio", Fate.IMPLIED, defaulted=False, because="the video has the ratio of its first frame"
    )
    assert fates["generation_input_file"].to == "image_url"


# --- members of members, lists, and cases --------------------------------------------------------------------------


def test_a_path_names_a_member_of_a_member():
    _, sent = native("wan/2.6-t2v", "alibabacloud", generation_seed=7)

    assert sent == {
        "input": {"prompt": "Harbour at dawn"},
        "parameters": {"size": "1920*1080", "duration": 5, "seed": 7, "prompt_extend": False, "watermark": False},
    }


def test_a_value_may_be_spread_over_several_members():
    _, sent = native("bfl/flux-2-pro", "bfl", generation_ratio="16:9", generation_resolution="2MP")

    assert (sent["width"], sent["height"]) == (1904, 1088)


def test_files_are_spread_over_as_many_members_as_there_are_files():
    _, sent = native("bfl/flux-2-pro", "bfl", generation_input_file=[FIRST, LAST])

    assert {name: value for name, value in sent.items() if name.startswith("input_image")} == {
        "input_image": FIRST,
        "input_image_2": LAST,
    }


@pytest.mark.parametrize(("resolution", "size"), [("720p", "1280:720"), ("1080p", "1920:1080")])
def test_a_table_may_depend_on_the_resolution_too(resolution: str, size: str):
    _, sent = native("google/veo-3.1-fast", "runway", generation_ratio="16:9", generation_resolution=resolution)

    assert sent["ratio"] == size
    assert "resolution" not in sent


def test_items_of_several_fields_are_added_to_one_list_in_the_order_of_the_rules():
    given = {"generation_input_file": [FIRST], "generation_input_file_last_content": LAST}

    _, sent = native("bytedance/seedance-1-pro", "byteplus", **given)

    assert sent["content"] == [
        {"type": "text", "text": "Harbour at dawn"},
        {"type": "image_url", "image_url": {"url": FIRST}, "role": "first_frame"},
        {"type": "image_url", "image_url": {"url": LAST}, "role": "last_frame"},
    ]


def test_a_list_inside_of_a_list_is_filled_with_files_and_then_the_prompt():
    _, sent = native("qwen/image-2", "alibabacloud", generation_input_file=[FIRST, LAST])

    assert sent["input"]["messages"] == [
        {"role": "user", "content": [{"image": FIRST}, {"image": LAST}, {"text": "Harbour at dawn"}]}
    ]


@pytest.mark.parametrize("prompt", ["{}", "{0} {a} {", "%s", "a.b", "0"])
def test_a_prompt_is_not_a_template(prompt: str):
    for identifier, provider in (("bytedance/seedance-1-pro", "byteplus"), ("bfl/flux-schnell", "fal")):
        _, sent = native(identifier, provider, generation_prompt=prompt)
        assert sent.get("prompt", sent.get("content", [{}])[0].get("text")) == prompt


@pytest.mark.parametrize(
    ("given", "endpoint", "image"),
    [
        pytest.param({}, "/v1/text_to_video", None, id="no file"),
        pytest.param({"generation_input_file": [FIRST]}, "/v1/image_to_video", FIRST, id="a file"),
        pytest.param(
            {"generation_input_file": [FIRST], "generation_input_file_last_content": LAST},
            "/v1/image_to_video",
            [{"uri": FIRST, "position": "first"}, {"uri": LAST, "position": "last"}],
            id="two frames",
        ),
    ],
)
def test_each_case_has_its_endpoint_and_its_rules(given: dict[str, Any], endpoint: str, image: object):
    request = compiled("google/veo-3.1-fast", "runway", **given)

    assert (request.native_model, request.endpoint) == ("veo3.1_fast", endpoint)
    assert request.native_input.get("promptImage") == image


def test_a_case_may_have_its_own_constants():
    texts, images = (
        native("lightricks/ltx-2.3-pro", "replicate", **given)[1]["task"]
        for given in ({}, {"generation_input_file": [FIRST]})
    )

    assert (texts, images) == ("text_to_video", "image_to_video")


def test_a_case_may_serve_more_values_than_another():
    assert native("runway/gen-4.5", "runway", generation_ratio="4:3", generation_input_file=[FIRST])[1]["ratio"]
    with pytest.raises(CannotServe):
        native("runway/gen-4.5", "runway", generation_ratio="4:3")


def test_a_model_without_a_prompt_is_told_what_to_do_by_files():
    request = compiled("runway/act-two", "runway", generation_input_file=[FIRST, LAST])

    assert request.endpoint == "/v1/character_performance"
    assert request.native_input == {
        "ratio": "960:960",
        "character": {"type": "image", "uri": FIRST},
        "reference": {"type": "video", "uri": LAST},
    }


def test_a_duration_that_is_only_billed_is_not_sent_and_its_fate_says_why():
    model = CATALOG.model("happyhorse/1.0-video-edit")
    normal = normalize(model, model.media_type, minimal_body(model))
    entry = model.entry("alibabacloud")

    fates = {fate.field: fate for fate in field_fates(model, entry, normal, sent=normal)}

    assert "duration" not in str(compile_native(entry, normal).native_input)
    assert fates["generation_duration"].because == "it is the length of the given video"


def test_the_fate_of_a_field_names_the_members_it_went_to():
    model = CATALOG.model("bfl/flux-2-pro")
    normal = normalize(model, model.media_type, minimal_body(model))

    fates = {fate.field: fate for fate in field_fates(model, model.entry("bfl"), normal, sent=normal)}

    assert (fates["generation_ratio"].fate, fates["generation_ratio"].to) == (Fate.MAPPED, "width, height")


def test_a_resolution_that_a_provider_does_not_have_is_what_it_cannot_serve():
    with pytest.raises(CannotServe) as caught:
        native("bfl/flux-2-klein-4b", "fal", generation_ratio="16:9", generation_resolution="4MP")

    assert caught.value.field == "generation_resolution"


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.identifier)
def test_a_native_request_can_be_changed_without_harm(model: Model):
    bodies = (minimal_body(model), full_body(model))
    for normal, entry in itertools.product((normalize(model, model.media_type, b) for b in bodies), model.providers):
        with suppress(CannotServe):
            before = json.dumps(asdict(compile_native(entry, normal)))

            emptied(compile_native(entry, normal).native_input)

            assert json.dumps(asdict(compile_native(entry, normal))) == before


def emptied(part: dict[str, Any] | list[Any]) -> None:
    for inner in part.values() if isinstance(part, dict) else part:
        if isinstance(inner, dict | list):
            emptied(inner)
    part.clear()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.identifier)
def test_every_field_that_was_set_has_a_fate(model: Model):
    body = full_body(model)
    normal = normalize(model, model.media_type, body)

    for entry in model.providers:
        fates = field_fates(model, entry, normal, sent=body)
        assert [fate.field for fate in fates] == [field.name for field in model.fields]
        assert not any(fate.defaulted for fate in fates)
        assert all((fate.to is None) == (fate.fate in {Fate.IMPLIED, Fate.ROUTING}) for fate in fates)
        assert all(fate.because for fate in fates if fate.fate is Fate.IMPLIED)


def test_the_fates_tell_used_from_mapped_and_sent_from_defaulted():
    body = {"generation_prompt": "a boat", "generation_ratio": "16:9"}
    normal = normalize(FLUX, FLUX.media_type, body)

    fates = field_fates(FLUX, FLUX.entry("fal"), normal, sent=body)

    assert fates == [
        FieldFate("generation_prompt", Fate.USED, defaulted=False, to="prompt"),
        FieldFate("generation_ratio", Fate.MAPPED, defaulted=False, to="image_size"),
        FieldFate("generation_output_format", Fate.MAPPED, defaulted=True, to="output_format"),
        FieldFate("generation_output_number", Fate.USED, defaulted=True, to="num_images"),
        FieldFate("generation_provider_order", Fate.ROUTING, defaulted=True),
    ]


def test_a_parameter_that_the_endpoint_does_not_take_is_implied():
    body = {"generation_prompt": "a", "generation_duration": 6, "generation_resolution": "1080p"}
    normal = normalize(HAILUO, HAILUO.media_type, body)

    fates = {fate.field: fate for fate in field_fates(HAILUO, HAILUO.entry("fal"), normal, sent=body)}

    assert fates["generation_duration"].fate is Fate.IMPLIED
    assert fates["generation_resolution"].fate is Fate.IMPLIED
