"""Pictures go in: edited to other pictures, and made into videos, at both simulated providers."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.end_to_end.conftest import a_caller, run
from tests.support.stack import Caller, StackProcess
from tests.support.waiting import until

RUNNING = "[sandbox:replicate=latency_2;fal=latency_2]"  # long enough to look at what the provider was given


@dataclass(frozen=True)
class Picture:
    """An output of ours, as its maker would use it again."""

    url: str
    content: bytes


@pytest.fixture(scope="module")
def illustrator(stack: StackProcess) -> Caller:
    return a_caller(stack, stack.found, "illustrator")


@pytest.fixture(scope="module")
def pictures(illustrator: Caller) -> list[Picture]:
    made = [illustrator.generate(f"a harbour {uuid.uuid4().hex}", generation_output_format="png") for _ in range(2)]
    urls = [illustrator.ended(generation_id)["generation_output_file"][0] for generation_id in made]
    return [Picture(url, fetched(url)) for url in urls]


def fetched(url: str) -> bytes:
    answer = httpx.get(url, trust_env=False)
    assert answer.status_code == 200, answer.text
    return answer.content


def the_job(caller: Caller, words: str) -> dict[str, Any]:
    until(lambda: bool(caller.jobs(words)))
    (job,) = caller.jobs(words)
    return job


def a_prompt() -> str:
    return f"a lighthouse {uuid.uuid4().hex} {RUNNING}"


@pytest.mark.parametrize(
    ("provider", "endpoint", "member"),
    [("replicate", "google/nano-banana", "image_input"), ("fal", "fal-ai/nano-banana/edit", "image_urls")],
)
def test_pictures_become_a_picture(
    illustrator: Caller, pictures: list[Picture], provider: str, endpoint: str, member: str
) -> None:
    words, urls = a_prompt(), [picture.url for picture in pictures]

    generation_id = illustrator.generate(
        words, model="google/nano-banana", generation_provider_order=provider, generation_input_file=urls
    )

    job = the_job(illustrator, words)
    given = job["input"][member]
    assert job["model"] == endpoint
    assert [fetched(url) for url in given] == [picture.content for picture in pictures]
    assert all(f"/files/inputs/{generation_id}/" in url for url in given)
    record = illustrator.ended(generation_id)
    assert (record["generation_status"], record["generation_provider_used"]) == ("succeeded", provider)
    assert record["generation_input_file"] == urls


@pytest.mark.parametrize(
    ("provider", "endpoint", "members"),
    [
        ("replicate", "google/veo-3.1-fast", ("image", "last_frame")),
        ("fal", "fal-ai/veo3.1/fast/first-last-frame-to-video", ("first_frame_url", "last_frame_url")),
    ],
)
def test_two_pictures_become_the_ends_of_a_video(
    illustrator: Caller, pictures: list[Picture], provider: str, endpoint: str, members: tuple[str, str]
) -> None:
    words, (first, last) = a_prompt(), pictures

    generation_id = illustrator.generate(
        words,
        media="video",
        model="google/veo-3.1-fast",
        generation_duration=4,
        generation_provider_order=provider,
        generation_input_file=[first.url],
        generation_input_file_last_content=last.url,
    )

    job = the_job(illustrator, words)
    assert job["model"] == endpoint
    assert [fetched(job["input"][member]) for member in members] == [first.content, last.content]
    record = illustrator.ended(generation_id)
    assert (record["generation_status"], record["generation_provider_used"]) == ("succeeded", provider)
    assert (record["generation_input_file"], record["generation_input_file_last_content"]) == ([first.url], last.url)


def test_the_next_provider_gets_the_same_copies(illustrator: Caller, pictures: list[Picture]) -> None:
    words = f"a lighthouse {uuid.uuid4().hex} [sandbox:replicate=job_failed;fal=latency_2]"

    generation_id = illustrator.generate(
        words,
        model="bfl/flux-kontext-pro",
        generation_input_file=[pictures[0].url],
        generation_provider_order="replicate, fal",
    )

    until(lambda: {job["provider"] for job in illustrator.jobs(words)} == {"replicate", "fal"})
    given = {job["provider"]: job["input"] for job in illustrator.jobs(words)}
    assert given["replicate"]["input_image"] == given["fal"]["image_url"]
    assert fetched(given["fal"]["image_url"]) == pictures[0].content
    assert illustrator.ended(generation_id)["generation_provider_used"] == "fal"


def test_a_failed_generation_is_run_again_with_files_fetched_anew(
    stack: StackProcess, illustrator: Caller, pictures: list[Picture]
) -> None:
    words = f"a lighthouse {uuid.uuid4().hex} [sandbox:replicate=submit_500x1;fal=submit_500x1]"
    failed = illustrator.generate(words, model="google/nano-banana", generation_input_file=[pictures[0].url])
    assert illustrator.ended(failed)["generation_status"] == "failed"

    again = run("replay", failed, "--json", "--data", str(stack.data))

    assert again.returncode == 0, again.stderr
    assert '"succeeded"' in again.stdout
    (job,) = illustrator.jobs(words)
    assert f"/files/inputs/{failed}/" not in str(job["input"])
    assert "/files/inputs/" in str(job["input"])
