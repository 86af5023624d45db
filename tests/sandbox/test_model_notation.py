"""The notation in which the many models of Replicate and fal are written."""

from __future__ import annotations

import textwrap

import pytest

from sandbox.model_notation import read_models
from sandbox.parameter_notation import NotationError, read_parameter
from sandbox.parameters import Model, Parameter
from sandbox.validation import violations

LISTS = {"A2": ["1:1", "16:9"]}


@pytest.mark.parametrize(
    ("notation", "parameter"),
    [
        ("text", Parameter("string")),
        ("text = any", Parameter("string", "any")),
        ("flag", Parameter("boolean")),
        ("flag = true", Parameter("boolean", True)),
        ("int", Parameter("integer")),
        ("int = 24", Parameter("integer", 24)),
        ("number = 0.9", Parameter("number", 0.9)),
        ("1..4 = 1", Parameter("integer", 1, minimum=1, maximum=4)),
        ("0..2147483647", Parameter("integer", minimum=0, maximum=2147483647)),
        ("256..1440 step 32", Parameter("integer", minimum=256, maximum=1440, multiple_of=32)),
        ("64..2048 step 16 = 1024", Parameter("integer", 1024, minimum=64, maximum=2048, multiple_of=16)),
        ("number 0..10 = 3", Parameter("number", 3.0, minimum=0, maximum=10)),
        ("number 1.5..10", Parameter("number", minimum=1.5, maximum=10)),
        ("webp | jpg = webp", Parameter("string", "webp", choices=("webp", "jpg"))),
        ("Not set | 1:1 = Not set", Parameter("string", "Not set", choices=("Not set", "1:1"))),
        ("Off | On", Parameter("string", choices=("Off", "On"))),
        ("A2 = 16:9", Parameter("string", "16:9", choices=("1:1", "16:9"))),
        ("auto | A2 | 9:21", Parameter("string", choices=("auto", "1:1", "16:9", "9:21"))),
        ("int 5 | 10 = 5", Parameter("integer", 5, choices=(5, 10))),
        ("int -1 | 4..6 = -1", Parameter("integer", -1, choices=(-1, 4, 5, 6))),
        ("text 5 | 10 = 5", Parameter("string", "5", choices=("5", "10"))),
        ("text auto | 4..6 = auto", Parameter("string", "auto", choices=("auto", "4", "5", "6"))),
        ("text 2..4 = 3", Parameter("string", "3", choices=("2", "3", "4"))),
        ("file", Parameter("file")),
        ("files", Parameter("files")),
        ("files ..8", Parameter("files", maximum=8)),
        ("files 1..3", Parameter("files", minimum=1, maximum=3)),
        ("texts ..3", Parameter("strings", maximum=3)),
        ("image_size", Parameter("image_size")),
        ("image_size = square_hd", Parameter("image_size", "square_hd")),
        ("image_size auto | 1024..4096 = auto", Parameter("image_size", "auto", False, ("auto",), 1024, 4096)),
        ("image_size = 2048x2048", Parameter("image_size", {"width": 2048, "height": 2048})),
    ],
)
def test_a_parameter_reads(notation: str, parameter: Parameter):
    assert read_parameter(notation, LISTS) == parameter


@pytest.mark.parametrize(
    ("notation", "complaint"),
    [
        ("5 | 10", "does not say whether these are numbers"),
        ("24", "does not say whether these are numbers"),
        ("B3 | auto", "B3 is not among the lists"),
        ("1..4 = 5", "a default that it does not allow"),
        ("webp | jpg = png", "a default that it does not allow"),
        ("A2 = 2:1", "a default that it does not allow"),
        ("image_size = auto", "a default that it does not allow"),
        ("1..4 = one", "a value of another type"),
        ("flag = yes", "a value of another type"),
        ("int one | two", "a value of another type"),
        ("integer", "names no type"),
        ("flag true", "has members, which its type cannot have"),
        ("files 8", "has members, which its type cannot have"),
    ],
)
def test_a_parameter_that_says_nothing_sure_is_refused(notation: str, complaint: str):
    with pytest.raises(NotationError, match=complaint):
        read_parameter(notation, LISTS)


@pytest.mark.parametrize(
    ("notation", "taken", "refused"),
    [
        ("int 5 | 10", 5, "5"),
        ("text 5 | 10", "5", 5),
        ("number 0..1", 1, 1.5),
        ("1..4", 4, True),
        ("1K | W*H", "1280*720", "1280x720"),
        ("None | WxH", "1280x720", "WxH"),
        ("256..1440 step 32", 1344, 1350),
        ("file", "https://x.example/1.png", "1.png"),
        ("file", "data:image/png;base64,aaaa", ["https://x.example/1.png"]),
        ("files ..2", ["https://x.example/1.png"] * 2, ["https://x.example/1.png"] * 3),
        ("files 1..3", ["https://x.example/1.png"], []),
        ("texts", ["first", "second"], [1]),
        ("list", [{"any": "thing"}], {"any": "thing"}),
        ("object", {"any": "thing"}, [1]),
        ("image_size", "landscape_16_9", "auto"),
        ("image_size auto", "auto", "auto_2K"),
        ("image_size", {"width": 14, "height": 14142}, {"width": 1024}),
        ("image_size 1024..4096", {"width": 1024, "height": 4096}, {"width": 1024, "height": 4097}),
    ],
)
def test_a_parameter_takes_what_it_says_and_nothing_else(notation: str, taken: object, refused: object):
    model = Model("image", "list", {"it": read_parameter(notation, LISTS)})

    assert violations(model, {"it": taken}) == []
    assert len(violations(model, {"it": refused})) == 1


def models(entries: str) -> dict[str, Model]:
    start = """
        lists: {A2: [1:1, 16:9]}
        sizes: {wide: {1:1: 1024x1024, 16:9: 1344x768}}
        groups: {webp: {output_format: webp | png = webp}}
        every: {images: {gives: string, input: {prompt!: text}}, videos: {gives: video, input: {prompt!: text}}}
    """
    return read_models(textwrap.dedent(start) + textwrap.dedent(entries))


def test_an_entry_begins_with_its_section_and_adds_groups_and_parameters():
    painter = models("""
        images:
          acme/painter:
            also: [acme/painter-pro]
            with: [webp]
            gives: list
            sizes: wide
            format: jpeg
            source: unverified
            input: {aspect_ratio: A2 = 1:1}
    """)

    assert list(painter) == ["acme/painter", "acme/painter-pro"]
    assert painter["acme/painter"] == Model(
        "image",
        "list",
        {
            "prompt": Parameter("string", required=True),
            "output_format": Parameter("string", "webp", choices=("webp", "png")),
            "aspect_ratio": Parameter("string", "1:1", choices=("1:1", "16:9")),
        },
        sizes={"1:1": (1024, 1024), "16:9": (1344, 768), "9:16": (768, 1344)},
        format="jpeg",
        source="unverified",
    )


def test_an_entry_like_another_has_its_parameters_but_those_it_is_without():
    found = models("""
        videos:
          acme/film: {seconds: 6, fps: 24, short_side: 1080, input: {mode: std | pro, image: file}}
          acme/film-pro: {like: acme/film, without: [mode], input: {image!: file, prompt: text}}
    """)["acme/film-pro"]

    assert found.parameters == {"prompt": Parameter("string"), "image": Parameter("file", required=True)}
    assert (found.kind, found.duration_s, found.fps, found.short_side) == ("video", 6, 24, 1080)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, []),
        ({"last": "https://x.example/1.png", "first": "https://x.example/1.png"}, []),
        ({"last": "https://x.example/1.png"}, ["last requires first"]),
        ({"seconds": 10, "lines": "768p"}, []),
        ({"seconds": 10}, ["seconds 10 requires lines 768p"]),
        ({"seconds": 8, "lines": "2k"}, ["seconds 8 cannot be combined with lines 1080p or 2k"]),
        ({"seconds": 8}, ["seconds 8 cannot be combined with lines 1080p or 2k"]),
    ],
)
def test_rules_between_parameters_see_the_defaults(given: dict[str, object], said: list[str]):
    film = models("""
        videos:
          acme/film:
            input: {first: file, last: file, seconds: int 6 | 8 | 10 = 6, lines: 768p | 1080p | 2k = 1080p}
            rules: [last needs first, seconds=10 needs lines=768p, seconds=8 not with lines=1080p|2k]
    """)["acme/film"]

    assert [found.limit for found in violations(film, {"prompt": "a"} | given)] == said


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ("{colour: red}", "has colour, which no model has"),
        ("{like: acme/other}", "is like acme/other, which is not above it"),
        ("{with: [jpg]}", "names the group jpg, which does not exist"),
        ("{without: [seed]}", "is without seed, which it would not have"),
        ("{sizes: narrow}", "names the sizes narrow, which do not exist"),
        ("{gives: string of pearls}", "is no kind of output"),
        ("{source: hearsay}", "not one of the marks"),
        ("{also: [acme/it]}", "acme/it is described twice"),
        ("{input: {n: 1..4 = 9}}", "acme/it, n: .* a default that it does not allow"),
        ("{input: {a: text, b: text}, rules: [a wants b]}", "says neither needs nor not with"),
        ("{input: {a: text}, rules: [a needs b]}", "'b', which is not a parameter"),
    ],
)
def test_a_mistake_in_an_entry_is_named(entry: str, complaint: str):
    with pytest.raises(NotationError, match=complaint):
        models(f"\nimages:\n  acme/it: {entry}\n")


@pytest.mark.parametrize("name", ["A3", "ratios", "A2B"])
def test_a_list_is_named_by_how_many_members_it_has(name: str):
    with pytest.raises(NotationError, match=f"The list {name}"):
        read_models(f"lists: {{{name}: [1:1, 16:9]}}")


def test_nothing_is_given_twice():
    with pytest.raises(NotationError, match="acme/it is given twice, the second time in line 9"):
        models("\nimages:\n  acme/it: {}\n  acme/it: {}\n")
