"""Bodies to normal form, or to all that is wrong with them."""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.addresses import AddressRules
from domain.errors import (
    ControlPlaneError,
    InputError,
    InvalidInput,
    ModelTypeMismatch,
    ParameterOutOfRange,
    UnsupportedProviderOrder,
)
from domain.fields import CONTRACT_NAMES, Field, FieldKind, values_of
from domain.generation import MediaType
from domain.mapping import CannotServe, compile_native
from domain.model import Model
from domain.normalization import normalize, order_of
from tests.support.catalog import CATALOG, MODELS, full_body, minimal_body

FLUX = CATALOG.model("bfl/flux-schnell")
NANO = CATALOG.model("google/nano-banana")
FLUX_DEV = CATALOG.model("bfl/flux-dev")
FLUX_PRO = CATALOG.model("bfl/flux-1.1-pro")
VEO = CATALOG.model("google/veo-3.1-fast")
HAILUO = CATALOG.model("minimax/hailuo-02")


def image(**fields: Any) -> dict[str, Any]:
    return normalize(FLUX, MediaType.IMAGE, {"generation_prompt": "a boat", **fields})


def refusal(model: Model, body: object) -> InputError:
    with pytest.raises(InputError) as caught:
        normalize(model, model.media_type, body)
    return caught.value


def problem(model: Model, body: object) -> dict[str, Any]:
    problems = refusal(model, body).details["problems"]
    assert len(problems) == 1
    return problems[0]


# --- what is accepted ----------------------------------------------------------------------------------------------


def test_an_image_gets_every_declared_default():
    assert image() == {
        "generation_prompt": "a boat",
        "generation_ratio": "1:1",
        "generation_output_format": "png",
        "generation_output_number": 1,
        "generation_provider_order": "fastest",
    }


def test_a_video_gets_every_declared_default():
    normal = normalize(VEO, MediaType.VIDEO, {"generation_prompt": "a boat", "generation_duration": 8})

    assert normal == {
        "generation_prompt": "a boat",
        "generation_ratio": "16:9",
        "generation_output_format": "mp4",
        "generation_output_number": 1,
        "generation_duration": 8,
        "generation_resolution": "720p",
        "generation_generate_audio": False,
        "generation_provider_order": "fastest",
    }


def test_an_option_with_a_default_is_always_in_the_normal_form_and_one_without_never_by_itself():
    normal = normalize(FLUX_PRO, MediaType.IMAGE, {"generation_prompt": "a boat"})

    assert normal["generation_enhance_prompt"] == "off"
    assert not {"generation_seed", "generation_moderation"} & set(normal)


def test_the_order_of_the_members_of_a_body_does_not_matter():
    body = full_body(VEO)
    backwards = dict(reversed(body.items()))

    assert json.dumps(normalize(VEO, MediaType.VIDEO, body)) == json.dumps(normalize(VEO, MediaType.VIDEO, backwards))


@pytest.mark.parametrize(
    "prompt",
    [
        "  two blanks before and one after ",
        "a\tb\nc",
        "é = e\u0301",
        pytest.param("🌊" * 4000, id="4000 waves"),
        pytest.param(" x" + " " * 9000, id="9000 blanks"),
    ],
)
def test_a_prompt_is_never_altered(prompt: str):
    assert image(generation_prompt=prompt)["generation_prompt"] == prompt


@pytest.mark.parametrize(("sent", "kept"), [(5, 5), (5.0, 5), (4, 4)])
def test_a_whole_duration_may_be_written_as_a_float(sent: float, kept: int):
    model = CATALOG.model("bytedance/seedance-1-pro")

    normal = normalize(model, MediaType.VIDEO, {"generation_prompt": "a boat", "generation_duration": sent})

    assert (normal["generation_duration"], type(normal["generation_duration"])) == (kept, int)


@pytest.mark.parametrize(("sent", "kept"), [(3, "3"), (3.0, "3"), (3.5, "3.5")])
def test_a_number_has_one_spelling(sent: float, kept: str):
    body = {"generation_prompt": "a boat", "generation_guidance_scale": sent}

    assert repr(normalize(FLUX_DEV, MediaType.IMAGE, body)["generation_guidance_scale"]) == kept


def test_minus_zero_is_zero():
    assert repr(image(generation_seed=-0.0)["generation_seed"]) == "0"


@pytest.mark.parametrize(
    ("sent", "kept", "order"),
    [
        pytest.param("fastest", "fastest", ("replicate", "fal", "cloudflare"), id="fastest is the default order"),
        pytest.param(" fastest ", "fastest", ("replicate", "fal", "cloudflare"), id="blanks are dropped"),
        pytest.param("fal, replicate", "fal, replicate", ("fal", "replicate"), id="turned around"),
        pytest.param("fal,replicate", "fal, replicate", ("fal", "replicate"), id="without a blank"),
        pytest.param("fal", "fal", ("fal",), id="one name excludes the others"),
    ],
)
def test_a_provider_order_is_read(sent: str, kept: str, order: tuple[str, ...]):
    normal = image(generation_provider_order=sent)

    assert (normal["generation_provider_order"], order_of(FLUX, normal)) == (kept, order)


# --- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [None, [], "text", 1, True])
def test_a_body_that_is_no_object_is_refused(body: object):
    error = refusal(FLUX, body)

    assert isinstance(error, InvalidInput)
    assert error.details["field"] == "body"
    assert error.details["problems"][0]["path"] == ""


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("generation_prompt", None, "invalid_type"),
        ("generation_prompt", 1, "invalid_type"),
        ("generation_prompt", "", "min_length"),
        ("generation_prompt", " \n\u3000", "min_length"),
        pytest.param("generation_prompt", "x" * 4001, "max_length", id="4001 characters"),
        ("generation_prompt", "a\x00b", "invalid_text"),
        ("generation_prompt", "a\ud800b", "invalid_text"),
        ("generation_ratio", None, "invalid_type"),
        ("generation_ratio", 1, "invalid_type"),
        ("generation_output_number", "1", "invalid_type"),
        ("generation_output_number", True, "invalid_type"),
        ("generation_output_number", 1.5, "invalid_type"),
        ("generation_output_number", None, "invalid_type"),
        ("generation_seed", float("nan"), "invalid_type"),
        ("generation_seed", float("inf"), "invalid_type"),
        ("generation_seed", [7], "invalid_type"),
        ("generation_provider_order", 7, "invalid_type"),
        ("generation_provider_order", None, "invalid_type"),
        ("generation_duratio", 5, "unknown_field"),
        ("__proto__", {}, "unknown_field"),
        ("generation_input_file", [], "not_available_here"),
        ("generation_input_file", ["https://files.example.com/a.png"], "not_available_here"),
        ("generation_input_file_last_content", "https://files.example.com/a.png", "not_available_here"),
        ("generation_resolution", "1080p", "not_available_here"),
        ("generation_generate_audio", True, "not_available_here"),
    ],
)
def test_a_malformed_field_is_invalid_input(field: str, value: object, code: str):
    error = refusal(FLUX, {"generation_prompt": "a boat", field: value})

    assert (type(error), error.details["field"]) == (InvalidInput, field)
    assert [found["code"] for found in error.details["problems"]] == [code]
    assert error.details["problems"][0]["path"] == f"/{field}"


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("generation_ratio", "7:3", "unsupported_value"),
        ("generation_ratio", "16:9 ", "unsupported_value"),
        ("generation_output_format", "PNG", "unsupported_value"),
        ("generation_output_number", 0, "min_value"),
        ("generation_output_number", 2, "max_value"),
        ("generation_seed", -1, "min_value"),
        ("generation_seed", 2**31, "max_value"),
        ("generation_seed", 2**53, "unsafe_integer"),
        ("generation_seed", 1e300, "unsafe_integer"),
        pytest.param("generation_seed", 10**5000, "unsafe_integer", id="5001 digits"),
        ("generation_num_inference_steps", 5, "max_value"),
    ],
)
def test_a_value_outside_of_the_models_range_is_out_of_range(field: str, value: object, code: str):
    error = refusal(FLUX, {"generation_prompt": "a boat", field: value})

    assert (type(error), error.details["field"]) == (ParameterOutOfRange, field)
    assert [found["code"] for found in error.details["problems"]] == [code]


@pytest.mark.parametrize("order", ["", ",", "fal,", "fal, fal", "openai", "fastest, fal", "Fal", "fal replicate"])
def test_an_order_that_the_model_does_not_have_is_its_own_error(order: str):
    error = refusal(FLUX, {"generation_prompt": "a boat", "generation_provider_order": order})

    assert isinstance(error, UnsupportedProviderOrder)
    assert error.details["problems"][0]["allowed"] == ["fastest", "replicate, fal, cloudflare"]


@pytest.mark.parametrize("value", ["true", 1, None, []])
def test_a_switch_is_true_or_false(value: object):
    found = problem(VEO, {"generation_prompt": "a", "generation_duration": 8, "generation_generate_audio": value})

    assert (found["code"], found["path"]) == ("invalid_type", "/generation_generate_audio")


@pytest.mark.parametrize("duration", [5, 5.5, 0, -8, pytest.param(10**400, id="401 digits")])
def test_a_duration_that_the_model_does_not_have_is_out_of_range(duration: float):
    error = refusal(VEO, {"generation_prompt": "a boat", "generation_duration": duration})

    assert isinstance(error, ParameterOutOfRange)
    assert error.details["problems"][0]["allowed"] == [4, 6, 8]


@pytest.mark.parametrize("duration", ["8", True, None, float("nan"), [8]])
def test_a_duration_that_is_no_number_is_invalid(duration: object):
    assert isinstance(refusal(VEO, {"generation_prompt": "a boat", "generation_duration": duration}), InvalidInput)


def test_a_duration_must_fit_the_resolution():
    body = {"generation_prompt": "a boat", "generation_duration": 10, "generation_resolution": "1080p"}

    error = refusal(HAILUO, body)

    assert isinstance(error, ParameterOutOfRange)
    assert error.details["problems"] == [
        {
            "path": "/generation_duration",
            "code": "conflicts_with",
            "message": "generation_duration at 1080p must be one of: 6.",
            "allowed": [6],
            "received": "10",
        }
    ]


def test_all_that_is_required_is_named():
    error = refusal(VEO, {})

    assert [(found["path"], found["code"]) for found in error.details["problems"]] == [
        ("/generation_prompt", "missing_required"),
        ("/generation_duration", "missing_required"),
    ]
    assert error.details["problems"][1]["allowed"] == [4, 6, 8]


def test_all_problems_come_at_once_in_declared_order_and_unknown_names_sorted_behind():
    body = {"zebra": 1, "generation_seed": "7", "apple": 2, "generation_ratio": "7:3", "generation_prompt": ""}

    error = refusal(FLUX, body)

    assert isinstance(error, InvalidInput)
    assert error.details["field"] == "generation_prompt"
    assert [found["path"] for found in error.details["problems"]] == [
        "/generation_prompt",
        "/generation_ratio",
        "/generation_seed",
        "/apple",
        "/zebra",
    ]
    assert error.details["problems_total"] == 5


def test_range_and_order_together_are_invalid_input():
    body = {"generation_prompt": "a", "generation_ratio": "7:3", "generation_provider_order": "openai"}

    assert type(refusal(FLUX, body)) is InvalidInput


def test_at_most_fifty_problems_are_shown_and_all_are_counted():
    body = {"generation_prompt": "a boat"} | {f"field_{number:05}": 1 for number in range(10_000)}

    error = refusal(FLUX, body)

    assert len(error.details["problems"]) == 50
    assert error.details["problems_total"] == 10_000


@pytest.mark.parametrize(
    ("model", "media_type", "body"),
    [
        pytest.param(FLUX, MediaType.VIDEO, {"generation_prompt": "a"}, id="an image model on the video route"),
        pytest.param(VEO, MediaType.IMAGE, {"generation_prompt": "a"}, id="a video model on the image route"),
        pytest.param(FLUX, MediaType.IMAGE, {"generation_duration": 5, "x": 1}, id="a duration for an image"),
        pytest.param(FLUX, MediaType.VIDEO, None, id="whatever the body is"),
    ],
)
def test_the_route_must_be_that_of_the_model(model: Model, media_type: MediaType, body: object):
    with pytest.raises(ModelTypeMismatch):
        normalize(model, media_type, body)


# --- input files ---------------------------------------------------------------------------------------------------

A_FILE = "https://files.example.com/a.png"


def edited(**fields: Any) -> dict[str, Any]:
    return {"generation_prompt": "a boat", **fields}


def filmed(**fields: Any) -> dict[str, Any]:
    return {"generation_prompt": "a boat", "generation_duration": 8, **fields}


@pytest.mark.parametrize(
    "url",
    [
        A_FILE,
        "HTTPS://Files.Example.COM:443/A.png?b=%20c",
        "https://93.184.216.34/a.png",
        "https://xn--bcher-kva.example/",
        pytest.param("https://files.example.com/" + "a" * 2022, id="2048 characters"),
        "https://127.0.0.1/",  # where it leads is found out when it is fetched
    ],
)
def test_an_address_is_kept_as_it_was_typed(url: str):
    normal = normalize(NANO, MediaType.IMAGE, edited(generation_input_file=[url, A_FILE]))

    assert normal["generation_input_file"] == [url, A_FILE]


def test_the_list_of_the_normal_form_is_its_own():
    body = edited(generation_input_file=[A_FILE])

    normalize(NANO, MediaType.IMAGE, body)["generation_input_file"].clear()

    assert body["generation_input_file"] == [A_FILE]


@pytest.mark.parametrize(
    ("value", "code", "path"),
    [
        (None, "invalid_type", "/generation_input_file"),
        (A_FILE, "invalid_type", "/generation_input_file"),
        ({"0": A_FILE}, "invalid_type", "/generation_input_file"),
        ([A_FILE, None], "invalid_type", "/generation_input_file/1"),
        ([[A_FILE]], "invalid_type", "/generation_input_file/0"),
        ([{"url": A_FILE}], "invalid_type", "/generation_input_file/0"),
        ([""], "address_refused", "/generation_input_file/0"),
        ([A_FILE, "files.example.com/a.png"], "address_refused", "/generation_input_file/1"),
        (["http://files.example.com/a.png"], "address_refused", "/generation_input_file/0"),
        (["data:image/png;base64,aGVsbG8="], "address_refused", "/generation_input_file/0"),
        (["ftp://files.example.com/a.png"], "address_refused", "/generation_input_file/0"),
        (["file:/etc/passwd"], "address_refused", "/generation_input_file/0"),
        (["https://user:secret@files.example.com/"], "address_refused", "/generation_input_file/0"),
        (["https://files.example.com:8443/"], "address_refused", "/generation_input_file/0"),
        (["https://files.example.com/#secret"], "address_refused", "/generation_input_file/0"),
        (["https://files.example.com\\@127.0.0.1/"], "address_refused", "/generation_input_file/0"),
        (["https://files.example.com/a b"], "address_refused", "/generation_input_file/0"),
        (["https://bücher.example/"], "address_refused", "/generation_input_file/0"),
        (["https://files.example.com/\ud800"], "address_refused", "/generation_input_file/0"),
        ([" " + A_FILE], "address_refused", "/generation_input_file/0"),
        pytest.param(
            ["https://files.example.com/" + "a" * 2023], "address_refused", "/generation_input_file/0", id="2049 bytes"
        ),
    ],
)
def test_what_is_no_list_of_addresses_is_invalid_input(value: object, code: str, path: str):
    error = refusal(NANO, edited(generation_input_file=value))

    assert (type(error), error.details["field"]) == (InvalidInput, "generation_input_file")
    assert [(found["code"], found["path"]) for found in error.details["problems"]] == [(code, path)]
    assert error.details.get("index") == (int(path[-1]) if path[-1].isdigit() else None)
    assert "secret" not in f"{error.message} {error.details}"


def test_every_bad_address_of_a_list_is_named():
    error = refusal(NANO, edited(generation_input_file=["http://x.example/", A_FILE, 7]))

    assert [found["path"] for found in error.details["problems"]] == [
        "/generation_input_file/0",
        "/generation_input_file/2",
    ]


@pytest.mark.parametrize(
    ("model", "body", "code"),
    [
        pytest.param(NANO, edited(generation_input_file=[]), "min_items", id="none"),
        pytest.param(NANO, edited(generation_input_file=[A_FILE] * 4), "max_items", id="more than the model takes"),
        pytest.param(VEO, filmed(generation_input_file=[A_FILE] * 2), "max_items", id="two first frames"),
        pytest.param(NANO, edited(generation_input_file=[A_FILE] * 5000), "max_items", id="5000"),
    ],
)
def test_a_list_of_another_length_is_out_of_range(model: Model, body: dict[str, Any], code: str):
    error = refusal(model, body)

    assert (type(error), error.details["field"]) == (ParameterOutOfRange, "generation_input_file")
    assert [found["code"] for found in error.details["problems"]] == [code]


@pytest.mark.parametrize("value", [None, [A_FILE], 7, "http://files.example.com/", "data:,x"])
def test_a_last_frame_is_one_address(value: object):
    error = refusal(VEO, filmed(generation_input_file=[A_FILE], generation_input_file_last_content=value))

    assert (type(error), error.details["field"]) == (InvalidInput, "generation_input_file_last_content")


def test_a_last_frame_needs_a_first_one():
    found = problem(VEO, filmed(generation_input_file_last_content=A_FILE))

    assert (found["code"], found["path"]) == ("requires", "/generation_input_file_last_content")


def test_hosts_that_may_be_private_are_named_by_whoever_asks():
    body = edited(generation_input_file=["http://127.0.0.1:8090/a.png"])

    normal = normalize(NANO, MediaType.IMAGE, body, AddressRules(frozenset({"127.0.0.1:8090"})))

    assert normal["generation_input_file"] == ["http://127.0.0.1:8090/a.png"]


# --- what the caller reads -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("generation_promt", "generation_prompt"),
        ("ratio", "generation_ratio"),
        ("generation_aspect_ratio", "generation_ratio"),
        ("something_else", None),
        pytest.param("generation_promp" * 1000, None, id="16,000 characters"),
    ],
)
def test_a_near_miss_gets_a_suggestion(sent: str, meant: str | None):
    assert problem(FLUX, {"generation_prompt": "a boat", sent: 1}).get("suggestion") == meant


def test_a_near_miss_of_a_value_gets_a_suggestion():
    assert problem(FLUX, {"generation_prompt": "a", "generation_ratio": "16/9"})["suggestion"] == "16:9"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("7:3", "7:3"),
        pytest.param("x" * 1000, "x" * 64, id="1000 characters"),
        ("a\u202eb\n\ud800", "a\\u202eb\\u000a\\ud800"),
        pytest.param(10**5000, "a very large number", id="5001 digits"),
        (None, "null"),
        (True, "true"),
        (1.5, "1.5"),
        (float("nan"), "not a number"),
        (["secret"], "a list"),
        ({"secret": 1}, "an object"),
    ],
)
def test_a_refused_value_is_shown_short_and_escaped(value: object, shown: str):
    assert problem(FLUX, {"generation_prompt": "a", "generation_ratio": value})["received"] == shown


@pytest.mark.parametrize("field", ["generation_prompt", "generation_negative_prompt"])
@pytest.mark.parametrize(
    "value", ["secret\x00", pytest.param("secret" * 1000, id="6000 characters"), ["secret"], {"secret": 1}]
)
def test_a_prompt_is_never_shown(field: str, value: object):
    error = refusal(VEO, {"generation_prompt": "fine", "generation_duration": 8, field: value})

    assert "secret" not in f"{error.message} {error.details}"


def test_an_unknown_name_is_shown_as_a_short_json_pointer():
    found = problem(FLUX, {"generation_prompt": "a boat", "a/b~c\n" + "x" * 100: 1})

    assert found["path"] == "/a~1b~0c\\u000a" + "x" * 53


# --- what holds for every body -------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=20)
    | st.sampled_from(["fastest", "fal", "replicate", "16:9", "png", "mp4", "1080p", "off", 1, 4, 5, 6, 8, 10, 1.0]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


addresses = st.from_regex(r"(https|HTTPS)://[a-zA-Z0-9]{1,20}\.example(:443)?(/[!-\"$-\[\]-~]{0,40})?", fullmatch=True)


def a_value_of(field: Field) -> st.SearchStrategy[Any]:
    if field.kind is FieldKind.TEXT:
        return st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), min_size=1).filter(
            str.strip
        )
    if field.kind is FieldKind.PROVIDER_ORDER:
        chosen = st.lists(st.sampled_from(field.choices), min_size=1, unique=True)
        return chosen.map(", ".join) | chosen.map(" ,".join) | st.just("fastest")
    if field.kind is FieldKind.URL:
        return addresses
    if field.kind is FieldKind.URL_LIST:
        return st.lists(addresses, min_size=1, max_size=int(field.maximum or 1))
    if values := values_of(field):
        return st.sampled_from(values)
    assert field.minimum is not None
    assert field.maximum is not None
    if field.kind is FieldKind.INTEGER:
        return st.integers(int(field.minimum), int(field.maximum))
    return st.floats(field.minimum, field.maximum)


@st.composite
def models_and_bodies(draw: st.DrawFn) -> tuple[Model, dict[str, Any]]:
    """Sensible bodies with nonsense put in here and there."""
    model = draw(st.sampled_from(MODELS))
    body = {field.name: draw(a_value_of(field)) for field in model.fields if field.required or draw(st.booleans())}
    names = st.sampled_from(sorted(CONTRACT_NAMES | model.field_names)) | st.text(max_size=10)
    return model, body | draw(st.dictionaries(names, json_values, max_size=3))


@given(models_and_bodies())
def test_every_body_ends_in_one_normal_form_or_one_of_our_errors(asked: tuple[Model, dict[str, Any]]):
    model, body = asked
    before = repr(body)

    outcomes = []
    for _ in range(2):
        try:
            outcomes.append(json.dumps(normalize(model, model.media_type, body)))
        except ControlPlaneError as error:
            outcomes.append(f"{error.code} {error.message} {json.dumps(error.details)}")

    assert outcomes[0] == outcomes[1]
    assert repr(body) == before


@given(models_and_bodies())
def test_the_normal_form_of_a_normal_form_is_itself(asked: tuple[Model, dict[str, Any]]):
    model, body = asked
    try:
        normal = normalize(model, model.media_type, body)
    except InputError:
        return

    again = normalize(model, model.media_type, copy.deepcopy(normal))
    stored = normalize(model, model.media_type, json.loads(json.dumps(normal)))

    assert json.dumps(normal) == json.dumps(again) == json.dumps(stored)


@given(models_and_bodies())
def test_a_normal_form_shares_nothing_with_the_body_or_the_catalogue(asked: tuple[Model, dict[str, Any]]):
    model, body = asked
    before, fields = copy.deepcopy(body), repr(model.fields)
    try:
        normal = normalize(model, model.media_type, body)
    except InputError:
        return

    for value in normal.values():
        if isinstance(value, list):
            value.clear()
    normal.clear()

    assert repr(body) == repr(before)
    assert repr(model.fields) == fields


@given(models_and_bodies())
def test_every_normal_form_is_compiled_for_every_provider_or_cannot_be_served(asked: tuple[Model, dict[str, Any]]):
    model, body = asked
    try:
        normal = normalize(model, model.media_type, body)
    except InputError:
        return
    before = repr(normal)

    for entry in model.providers:
        with suppress(CannotServe):
            first, again = (json.dumps(asdict(compile_native(entry, normal))) for _ in range(2))
            assert first == again
    assert repr(normal) == before


@given(json_values, st.sampled_from(MODELS))
def test_anything_at_all_may_come_as_a_body(body: object, model: Model):
    with pytest.raises(InputError):
        normalize(model, model.media_type, body)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.identifier)
def test_the_fullest_and_the_shortest_body_of_every_model_are_accepted(model: Model):
    full = normalize(model, model.media_type, full_body(model))
    short = normalize(model, model.media_type, minimal_body(model))

    assert set(full) == model.field_names
    assert set(short) <= set(full)
