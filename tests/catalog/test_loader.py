"""A catalogue that is wrong does not start, and says all that is wrong, file by file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import catalog
from catalog.loader import CatalogInvalid, load_catalog
from tests.support.catalog import CATALOG

PACKAGE = Path(catalog.__file__).parent
SCHNELL, HAILUO, VEO, KLING, NANO = (
    "models/bfl-flux-schnell.yml",
    "models/minimax-hailuo-02.yml",
    "models/google-veo-3.1-fast.yml",
    "models/kling-v2.5-turbo-pro.yml",
    "models/google-nano-banana.yml",
)
KLEIN, SEEDANCE, ACT_TWO = (
    "models/bfl-flux-2-klein-4b.yml",
    "models/bytedance-seedance-1-pro.yml",
    "models/runway-act-two.yml",
)

ANOTHER_PRICE = "{number: 2, effective: 2026-11-01, per: generation, microcredits: 6000, basis: provider, source: x}"

Edit = Callable[..., list[str]]


def copied(folder: Path) -> Path:
    """A part of the catalogue, because all of it takes half a second to read."""
    shutil.copytree(PACKAGE / "providers", folder / "providers")
    (folder / "models").mkdir()
    for file in (SCHNELL, HAILUO, VEO, KLING, NANO, KLEIN, SEEDANCE, ACT_TWO):
        shutil.copy(PACKAGE / file, folder / file)
    return folder


@pytest.fixture
def edited(tmp_path: Path) -> Edit:
    """Loads a copy of the catalogue in which one text of one file is replaced; returns what is wrong with it."""
    copied(tmp_path)

    def edit(file: str, old: str, new: str) -> list[str]:
        text = (tmp_path / file).read_text("utf-8")
        assert old in text
        (tmp_path / file).write_text(text.replace(old, new, 1), encoding="utf-8")
        with pytest.raises(CatalogInvalid) as caught:
            load_catalog(tmp_path)
        return caught.value.problems

    return edit


def test_the_packaged_catalogue_is_sound_and_sorted():
    assert list(CATALOG.models) == sorted(CATALOG.models)
    assert list(CATALOG.providers) == sorted(CATALOG.providers)
    assert len(CATALOG.models) == 146
    assert sum(len(model.providers) for model in CATALOG.models.values()) == 340


def test_how_a_result_comes_back_depends_on_the_provider_and_what_it_makes():
    used: dict[str, set[str]] = {}
    for model in CATALOG.models.values():
        for entry in model.providers:
            used.setdefault(f"{entry.provider} {model.media_type}", set()).add(entry.delivery)

    assert used == {
        "alibabacloud image": {"polling", "synchronous"},
        "alibabacloud video": {"polling"},
        "bfl image": {"polling"},
        "byteplus image": {"synchronous"},
        "byteplus video": {"callback"},
        "cloudflare image": {"synchronous"},
        "fal image": {"callback"},
        "fal video": {"callback", "polling"},
        "openai image": {"synchronous"},
        "replicate image": {"callback"},
        "replicate video": {"callback", "polling"},
        "runway image": {"polling"},
        "runway video": {"polling"},
    }


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        # the shape
        (SCHNELL, "lab:", "colour: red\nlab:", "colour: Extra inputs are not permitted"),
        (SCHNELL, "    basis: babysea", "    basis: guess", "prices.0.basis"),
        (NANO, "input_files_max: 3", "input_files_max: 11", "input_files_max"),
        (SCHNELL, "microcredits: 5000", "microcredits: 0", "prices.0.microcredits"),
        (SCHNELL, "microcredits: 5000", "microcredits: 5000.0", "prices.0.microcredits"),
        (SCHNELL, "cost_microcredits: 3000", "cost_microcredits: -1", "cost_microcredits"),
        (SCHNELL, "identifier: bfl", "identifier: BFL", "identifier: String should match"),
        (SCHNELL, '"16:9"', '"16x9"', "ratios.1"),
        (SCHNELL, "delivery: callback", "delivery: pigeon", "delivery"),
        (SCHNELL, "checked: 2026-11", "checked: today", "checked"),
        (SCHNELL, "  generation_seed: {", "  request_seed: {", "extra_fields"),
        (SCHNELL, "effective: 2026-11-01", "effective: 2026-13-01", "month must be in 1..12"),
        (SCHNELL, "lab:", "name: Again\nlab:", "'name' is given twice"),
        (SCHNELL, "lab:", "[a]: b\nlab:", "cannot name a member"),
        (SCHNELL, "lab:", "lab: [", "while parsing"),
        ("providers/fal.yml", "status: active", "status: gone", "status"),
        # names
        (SCHNELL, "identifier: bfl/flux-schnell", "identifier: bfl/flux-fast", "must be named bfl-flux-fast.yml"),
        ("providers/fal.yml", "id: fal", "id: fall", "must be named fall.yml"),
        # what the model accepts
        (SCHNELL, '["1:1", "16:9"', '["1:1", "1:1", "16:9"', "ratios: a value is given twice"),
        (SCHNELL, "outputs_max: 1\n", "outputs_max: 1\ndurations: [5]\n", "durations: videos have them"),
        (SCHNELL, "[png, jpg, webp]", "[mp4]", "output_formats: mp4"),
        (SCHNELL, "outputs_max: 1\n", "outputs_max: 1\naudio: true\n", "audio: only videos"),
        (HAILUO, "durations: [6, 10]", "durations: [10, 6]", "durations: must be sorted"),
        (HAILUO, "default_resolution: 768p", "default_resolution: 8K", "default_resolution: is not one of"),
        (HAILUO, "default_resolution: 768p\n", "", "default_resolution: goes with resolutions"),
        (HAILUO, "durations_by_resolution: {1080p: [6]}", "durations_by_resolution: {8K: [6]}", "8K is not one of"),
        (HAILUO, "durations_by_resolution: {1080p: [6]}", "durations_by_resolution: {1080p: []}", "some, not all"),
        (HAILUO, "durations_by_resolution: {1080p: [6]}", "durations_by_resolution: {1080p: [7]}", "some, not all"),
        (
            SCHNELL,
            "generation_seed: {type: integer, minimum: 0",
            "generation_seed: {type: integer, minimum: 3000000000",
            "minimum is above maximum",
        ),
        (SCHNELL, "generation_seed: {", "generation_ratio: {", "generation_ratio: is a field of every model"),
        (HAILUO, 'enum: ["off", standard]', "enum: []", "enum must list values"),
        (HAILUO, 'enum: ["off", standard]', 'enum: ["off", "off", standard]', "enum must list values"),
        (HAILUO, 'default: "off"', "default: fast", "default is not a value"),
        (SCHNELL, "{type: integer, minimum: 0", "{type: integer, default: -1, minimum: 0", "default is not a value"),
        (SCHNELL, "{type: integer, minimum: 0", "{type: integer, default: true, minimum: 0", "default is not a value"),
        (VEO, "{type: string}", "{type: string, default: 1}", "default is not a value"),
        (
            SCHNELL,
            "{type: integer, minimum: 0, maximum: 2147483647}",
            "{type: boolean, default: 1}",
            "default is not a value",
        ),
        # prices
        (SCHNELL, "number: 1", "number: 2", "must be numbered"),
        (
            SCHNELL,
            "    source: BabySea public",
            f"    source: x\n  - {ANOTHER_PRICE}\n#",
            "effective later",
        ),
        (SCHNELL, "per: generation", "per: second", "prices.1.per"),
        (SCHNELL, "microcredits: 5000", "microcredits: 5001", "three decimals"),
        (SCHNELL, "microcredits: 5000", "microcredits: {1K: 5000}", "tiers must be exactly absent"),
        (HAILUO, "1080p: 80000", "8K: 80000", "tiers must be exactly 1080p, 768p"),
        (VEO, "1080p_noaudio: 100000", "1080p_silent: 100000", "tiers must be exactly 1080p_audio"),
        (SCHNELL, "cost_microcredits: 3000", "cost_microcredits: 5001", "at a loss"),
        (HAILUO, "    input:", "    cost_microcredits: {768p: 1, 1080p: 90000}\n    input:", "at a loss"),
        (VEO, "    input:", "    cost_microcredits: {720p: 100001, 1080p: 1}\n    input:", "at a loss"),
        # providers
        (SCHNELL, "provider: fal", "provider: replicate", "replicate is given twice"),
        (SCHNELL, "provider: fal", "provider: nobody", "there is no providers/nobody.yml"),
        (ACT_TWO, "    delivery: polling", "    delivery: polling\n    default: false", "at least one must be"),
        ("providers/fal.yml", "[image, video]", "[image]", "does not serve video"),
        # mappings
        (SCHNELL, "      generation_seed: seed\n", "", "input: says nothing about generation_seed"),
        (
            SCHNELL,
            "      generation_seed: seed\n",
            "      generation_seed: seed\n      generation_x: x\n",
            "generation_x: is not a field",
        ),
        (SCHNELL, "generation_seed: seed", "generation_seed: prompt", "prompt is written twice"),
        (SCHNELL, "constants: {megapixels", "constants: {seed", "seed is written twice"),
        (SCHNELL, "values: {png: png, jpg: jpeg}", "values: {png: png, gif: gif}", "'gif' is not a value"),
        (SCHNELL, "    narrows: {generation_output_format: this endpoint has no webp}\n", "", "does not serve webp"),
        (SCHNELL, "narrows: {", "narrows: {generation_x: y, ", "narrows.generation_x: is not a field"),
        (SCHNELL, "narrows: {", "narrows: {generation_ratio: y, ", "serves all values"),
        (
            SCHNELL,
            "generation_seed: seed",
            "generation_seed: {to: seed, values: {1: 1}}",
            "is not a value of the field",
        ),
        (SCHNELL, '"1:1": square_hd', '"1:1": landscape_4_3', "more than 3 % off 1:1"),
        (SCHNELL, '"1:1": square_hd', '"1:1": circle', "neither a size"),
        (SCHNELL, '"1:1": square_hd', '"1:1": {width: 1024, height: 900}', "more than 3 % off 1:1"),
        (SCHNELL, '"1:1": square_hd', '"1:1": {width: 1024}', "neither a size"),
        (SCHNELL, '"1:1": square_hd', '"1:1": {width: 0, height: 0}', "neither a size"),
        (SCHNELL, '"1:1": square_hd', '"1:1": 1024x900', "more than 3 % off 1:1"),
        (HAILUO, 'only: ["16:9"], because: text to video has this ratio only', 'only: ["16:9"]', "without `to`, say"),
        (HAILUO, 'only: ["16:9"], because: text to video has this ratio only', "because: x", "without `to`, say"),
        (HAILUO, 'only: ["16:9"]', 'values: {"16:9": x}, only: ["16:9"]', "need `to`"),
        (HAILUO, "{only: [mp4]", "{only: [mp3]", "'mp3' is not a value"),
        (HAILUO, 'text: "{}"', 'text: "{}{}"', "must have one {}"),
        (HAILUO, 'text: "{}"', 'text: "{0}"', "must have one {}"),
        (KLING, 'text: "{}"', 'text: "{}", values: {5: five, 10: ten}', "both `values` and `text`"),
        (HAILUO, "omit_for_resolutions: [1080p]", "omit_for_resolutions: [8K]", "omit_for_resolutions: is not one of"),
        (HAILUO, "        because: this endpoint", "        # this endpoint", "omit_for_resolutions: say `because`"),
        (HAILUO, "omit_for_resolutions: [1080p]", "omit_for_resolutions: [768p]", "which would be lost"),
        (
            HAILUO,
            "prompt_optimizer, values",
            "prompt_optimizer, omit_for_resolutions: [1080p], values",
            "would be lost",
        ),
        (HAILUO, 'text: "{}"', 'text: "about {} s{"', "must have one {}"),
        (HAILUO, "      1080p: fal-ai", "      8K: fal-ai", "must have exactly the resolutions"),
        (
            HAILUO,
            "    native_model: fal-ai/minimax/hailuo-02/standard",
            "    native_model: fal-ai/other",
            "must be one of native_model_by_resolution",
        ),
        # input files
        (SCHNELL, "outputs_max: 1\n", "outputs_max: 1\nlast_frame: true\n", "last_frame: is for videos"),
        (KLING, "input_files_max: 1\n", "", "last_frame: is for videos"),
        (NANO, "      generation_input_file: image_input\n", "", "says nothing about generation_input_file"),
        (NANO, "file: image_input", "file: {to: image_input, single: true}", "does not serve more than one file"),
        (NANO, "file: image_input", "file: {only: [], because: x}", "does not serve any file"),
        (NANO, "file: image_input", "file: {to: image_input, text: '<{}>'}", "files are passed on as they are"),
        (NANO, "ratio: aspect_ratio", "ratio: {to: aspect_ratio, single: true}", "single: is for a list"),
        (NANO, "with_input_file: {native", "with_last_frame: {native", "with_last_frame: this model accepts no"),
        (
            HAILUO,
            "        1080p: fal-ai",
            "        8K: fal-ai",
            "with_input_file.native_model_by_resolution: must have",
        ),
        (KLING, "omits: {generation_ratio", "omits: {generation_duration", "only the ratio may be left"),
        (VEO, "to: first_frame_url", "to: last_frame_url", "with_last_frame.input: last_frame_url is written twice"),
        (VEO, "generation_input_file: {to: first_frame", "generation_x: {to: first_frame", "with_last_frame.input.gen"),
        # members of members, lists and tables by resolution
        (KLEIN, "generation_seed: seed", "generation_seed: a..b", "input.generation_seed.to"),
        (KLEIN, "to: [width, height]", "to: [width, width]", "width is written twice"),
        (KLEIN, "to: [width, height]", "to: width", "must be a list with one item for each member"),
        (KLEIN, '"1:1": [1024, 1024]', '"1:1": [1024]', "must be a list with one item for each member"),
        (KLEIN, '"1:1": [1024, 1024]', '"1:1": [1024, 900]', "values_by_resolution.1MP: [1024, 900] is more than 3 %"),
        (KLEIN, '            "1:1": [1024, 1024]\n', "", "does not serve 1:1"),
        (KLEIN, "          1MP:\n", "          9MP:\n", "must have exactly the resolutions that are served: 1MP, 2MP"),
        (KLEIN, "generation_seed: seed", "generation_seed: {to: [seed, noise]}", "several members need a list"),
        (KLEIN, "input_image_3, input_image_4]", "input_image_3]", "does not serve more than 3 files"),
        (KLEIN, "_file: images", "_file: {to: images, files_max: 2}", "does not serve more than 2 files"),
        (KLEIN, "generation_seed: seed", "generation_seed: {to: seed, files_max: 2}", "files_max: is for a list"),
        (SEEDANCE, 'text: "{}"}', "text: a boat}", 'item: must have one "{}"'),
        (SEEDANCE, "{to: content, item: {type: text", "{item: {type: text", "need `to`"),
        (SEEDANCE, "generation_ratio: ratio", "generation_ratio: content", "content is written twice"),
        (
            SEEDANCE,
            "generation_ratio: ratio",
            "generation_ratio: content.0.a",
            "content.0.a is written inside of content",
        ),
        (ACT_TWO, "generation_seed: seed", "generation_seed: character.uri.seed", "is written inside of character.uri"),
        (ACT_TWO, "generation_seed: seed", "generation_seed: character.0.seed", "disagree about what is a list"),
        # models that are told what to do by files
        (ACT_TWO, "because: it is the length", "to: duration, because: it is the length", "it is not sent"),
        (ACT_TWO, "input_files_min: 2\n", "", "prompt: a model without one needs files"),
        (ACT_TWO, "input_files_min: 2", "input_files_min: 3", "input_files_min: is above input_files_max"),
        (ACT_TWO, "[image, video]\n", "[image, image, video]\n", "input_kinds: says more than input_files_max"),
        (ACT_TWO, "input_kinds: [image, video]", "input_kinds: [image]", "is for models that need a video"),
    ],
)
def test_a_mistake_is_named_with_its_file(edited: Edit, file: str, old: str, new: str, said: str):
    problems = edited(file, old, new)

    assert any(said in problem for problem in problems), problems
    assert file == "providers/fal.yml" or all(problem.startswith(file) for problem in problems)


def test_a_value_that_no_provider_serves_is_named(edited: Edit, tmp_path: Path):
    narrow = "{to: output_format, values: {png: png, jpg: jpg}}"
    text = (tmp_path / SCHNELL).read_text("utf-8")
    (tmp_path / SCHNELL).write_text(text.replace("format: output_format", f"format: {narrow}"), encoding="utf-8")

    problems = edited(SCHNELL, "    constants:", "    narrows: {generation_output_format: so}\n    constants:")

    assert problems == [f"{SCHNELL}: generation_output_format: no provider serves webp"]


def test_all_mistakes_of_all_files_come_at_once(edited: Edit, tmp_path: Path):
    (tmp_path / KLING).write_text((tmp_path / KLING).read_text("utf-8").replace("checked: 2026-11", "checked: now"))
    (tmp_path / HAILUO).write_text(
        (tmp_path / HAILUO).read_text("utf-8").replace("durations: [6, 10]", "durations: [10, 6]")
    )

    problems = edited(SCHNELL, "    basis: babysea", "    basis: guess\n    colour: red")

    assert [problem.partition(":")[0] for problem in problems] == [SCHNELL, SCHNELL, KLING, HAILUO]


def test_a_file_that_is_no_text_is_named(edited: Edit, tmp_path: Path):
    (tmp_path / KLING).write_bytes(b"name: \xff")

    assert any(problem.startswith(f"{KLING}: 'utf-8'") for problem in edited(SCHNELL, "lab:", "lab: "))


def test_a_stray_file_is_named(edited: Edit, tmp_path: Path):
    (tmp_path / "models/notes.txt").write_text("hello")

    assert "models/notes.txt: only .yml files belong here" in edited(SCHNELL, "lab:", "lab: ")


def test_an_empty_catalogue_is_not_usable(tmp_path: Path):
    (tmp_path / "models").mkdir()
    (tmp_path / "providers").mkdir()

    with pytest.raises(CatalogInvalid, match="there is no usable file") as caught:
        load_catalog(tmp_path)

    assert len(caught.value.problems) == 2


def test_the_words_of_providers_need_no_quotes(tmp_path: Path):
    for file in (copied(tmp_path) / "models").iterdir():
        file.write_text(file.read_text("utf-8").replace('"off"', "off").replace('"16:9"', "16:9"), encoding="utf-8")

    loaded = load_catalog(tmp_path).models

    assert loaded == {name: CATALOG.model(name) for name in loaded}


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        pytest.param("generation_seed: seed", "generation_seed: noise", True, id="a native name"),
        pytest.param('{megapixels: "1"}', '{megapixels: "2"}', True, id="a constant"),
        pytest.param("native_model: black-forest-labs", "native_model: bfl", True, id="the endpoint"),
        pytest.param("cost_microcredits: 3000", "cost_microcredits: 3001", False, id="the cost is no mapping"),
        pytest.param("generation_seed: seed", 'generation_seed: {to: seed, text: "no. {} of it"}', True, id="a text"),
        pytest.param("generation_seed: seed", "generation_seed: {to: seed}", False, id="another way to say it"),
    ],
)
def test_the_mapping_version_changes_with_the_mapping(tmp_path: Path, old: str, new: str, changed: bool):
    path = copied(tmp_path) / SCHNELL
    path.write_text(path.read_text("utf-8").replace(old, new, 1), encoding="utf-8")

    versions = [
        c.model("bfl/flux-schnell").entry("replicate").mapping_version for c in (CATALOG, load_catalog(tmp_path))
    ]

    assert (versions[0] != versions[1]) is changed
