"""The plans are data: the contract's numbers by default, an operator's own by a file; a wrong file does not start."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

import catalog
from catalog.plans import PlansInvalid, load_plans
from domain.generation import MediaType

BUILT_IN = Path(catalog.__file__).parent / "plans.yml"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.mark.parametrize(
    ("name", "label", "requests", "images", "videos"),
    [
        ("free", "Free", 60, 2, 1),
        ("starter", "Starter", 120, 5, 2),
        ("pro", "Pro", 300, 10, 5),
        ("scale", "Scale", 600, 25, 10),
        ("enterprise", "Enterprise", 1200, 100, 50),
        ("Starter Monthly", "Starter", 120, 5, 2),
        ("unheard of", "Free", 60, 2, 1),
        ("", "Free", 60, 2, 1),
    ],
)
def test_section_7_a_plan_limits_requests_and_what_is_in_flight(
    name: str, label: str, requests: int, images: int, videos: int
):
    plan = load_plans().of(name)

    assert (plan.label, plan.requests_per_minute) == (label, requests)
    assert plan.in_flight == {MediaType.IMAGE: images, MediaType.VIDEO: videos}


@pytest.mark.parametrize(
    ("name", "files", "rows"),
    [
        ("free", HOUR, DAY),
        ("starter", 12 * HOUR, 7 * DAY),
        ("pro", DAY, 30 * DAY),
        ("scale", 5 * DAY, 180 * DAY),
        ("enterprise", 7 * DAY, 365 * DAY),
    ],
)
def test_section_13_a_plan_says_how_long_things_are_kept(name: str, files: timedelta, rows: timedelta):
    kept = load_plans().of(name).retention

    assert kept.output_files == files
    assert (kept.generation_records, kept.request_log, kept.webhook_deliveries) == (rows, rows, rows)


def test_a_file_of_the_operators_replaces_all_plans(tmp_path: Path):
    own = tmp_path / "plans.yml"
    own.write_text(BUILT_IN.read_text().partition("starter:")[0].replace("60", "7"))

    plans = load_plans(own)

    assert list(plans.by_identifier) == ["free"]
    assert plans.of("enterprise").requests_per_minute == 7


@pytest.fixture
def edited(tmp_path: Path) -> Callable[[str, str], list[str]]:
    def edit(old: str, new: str) -> list[str]:
        text = BUILT_IN.read_text()
        assert old in text
        (tmp_path / "own.yml").write_text(text.replace(old, new, 1))
        with pytest.raises(PlansInvalid) as refused:
            load_plans(tmp_path / "own.yml")
        return refused.value.problems

    return edit


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        pytest.param("free:", "gratis:", "there must be a plan free", id="without the plan of the unknown"),
        pytest.param("requests_per_minute: 60", "requests_per_minute: 0", "free.requests_per_minute", id="none at all"),
        pytest.param(
            "requests_per_minute: 60", "requests_per_minute: 6.5", "free.requests_per_minute", id="a fraction"
        ),
        pytest.param("image: 2", "image: -1", "free.in_flight.image", id="fewer than none"),
        pytest.param("{image: 2, video: 1}", "{image: 2}", "free.in_flight.video", id="a media type is missing"),
        pytest.param("1h", "1w", "free.retention.output_files", id="a span in weeks"),
        pytest.param("label: Free", "label: ' '", "free.label", id="an empty label"),
        pytest.param("label: Free", "name: Free", "free.name", id="an unknown member"),
        pytest.param("label: Free", "label: [", "while parsing", id="no YAML"),
    ],
)
def test_a_wrong_file_is_refused_by_name_and_place(
    edited: Callable[[str, str], list[str]], old: str, new: str, where: str
):
    problems = edited(old, new)

    assert all(problem.startswith("own.yml: ") for problem in problems)
    assert where in " ".join(problems)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path):
    with pytest.raises(PlansInvalid, match="No such file"):
        load_plans(tmp_path / "none.yml")
