"""What an app developer does with one generation, on the whole machine."""

from __future__ import annotations

import hashlib
import uuid

import httpx
import pytest

from tests.end_to_end.conftest import a_caller, run
from tests.support.stack import Caller, StackProcess
from tests.support.waiting import until


def prompt(directive: str = "") -> str:
    return f"a lighthouse {uuid.uuid4().hex} {directive}".strip()


@pytest.fixture(scope="module")
def painter(stack: StackProcess) -> Caller:
    return a_caller(stack, stack.found, "painter")


def test_an_image_can_be_downloaded_and_is_what_was_asked_for(painter: Caller) -> None:
    record = painter.ended(painter.generate(prompt(), generation_ratio="16:9", generation_output_format="png"))

    (url,) = record["generation_output_file"]
    answer = httpx.get(url, trust_env=False)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    assert hashlib.sha256(answer.content).hexdigest()
    assert httpx.get(url.replace("signature=", "signature=0"), trust_env=False).status_code == 403


def test_a_polled_video_succeeds(painter: Caller) -> None:
    record = painter.ended(
        painter.generate(prompt(), media="video", model="pixverse/v5", generation_duration=5), within_s=90
    )

    assert record["generation_status"] == "succeeded"


def test_a_cancel_stops_the_job_and_gives_the_credits_back(painter: Caller) -> None:
    before, words = painter.balance(), prompt("[sandbox:replicate=never_ends]")
    generation_id = painter.generate(words)
    until(lambda: painter.content(generation_id)["generation_status"] == "processing")

    answer = painter.cancel(generation_id)

    assert answer.status_code == 200, answer.text
    assert answer.json()["data"] == {
        "generation_id": generation_id,
        "generation_status": "canceled",
        "provider_cancel_sent": True,
        "credits_refunded": True,
    }
    assert painter.balance() == before
    assert painter.jobs(words)[0]["cancel_requested"] is True
    assert painter.cancel(generation_id).status_code == 409


def test_a_job_that_ends_after_its_cancel_changes_nothing(painter: Caller) -> None:
    before, words = painter.balance(), prompt("[sandbox:replicate=ignores_cancel,latency_2]")
    generation_id = painter.generate(words)
    until(lambda: painter.content(generation_id)["generation_status"] == "processing")

    assert painter.cancel(generation_id).status_code == 200
    until(lambda: painter.jobs(words)[0]["state"] not in ("queued", "running", "starting", "processing"))

    assert painter.content(generation_id)["generation_status"] == "canceled"
    assert painter.balance() == before


def test_a_failed_generation_is_replayed_as_a_new_one(stack: StackProcess, painter: Caller) -> None:
    words = prompt("[sandbox:replicate=submit_500x1;fal=submit_500x1]")
    failed = painter.generate(words)
    assert painter.ended(failed)["generation_status"] == "failed"

    replay = run("replay", failed, "--json", "--data", str(stack.data))

    assert replay.returncode == 0, replay.stderr
    assert painter.content(failed)["generation_status"] == "failed"
    assert '"succeeded"' in replay.stdout


def test_show_tells_the_story(stack: StackProcess, painter: Caller) -> None:
    generation_id = painter.generate(prompt("[sandbox:replicate=submit_500]"))
    painter.ended(generation_id)

    shown = run("show", generation_id, "--data", str(stack.data))

    assert shown.returncode == 0, shown.stderr
    for word in ("replicate", "fal", "succeeded", "provider_error"):
        assert word in shown.stdout
