from __future__ import annotations

import subprocess
import sys

import httpx

from sandbox.faults import NO_FAULTS
from sandbox.registry import model_of
from sandbox.submissions import Latencies
from tests.support.sandbox import running_sandbox, started_sandbox
from tests.support.submits import predict, queue


async def test_it_says_that_it_is_healthy(control):
    assert (await control.get("/health")).json() == {"status": "ok"}


async def test_jobs_are_counted_per_prompt(replicate, fal, control, prompt):
    text = prompt()
    for _ in range(2):
        await predict(replicate, text)
    await queue(fal, text)

    both = (await control.get("/jobs", params={"prompt": text})).json()
    one = (await control.get("/jobs", params={"contains": text[3:], "provider": "fal"})).json()

    assert [(job["provider"], job["submits_received"]) for job in both["jobs"]] == [
        ("fal", 1),
        ("replicate", 2),
        ("replicate", 2),
    ]
    assert [(line["provider"], line["received"], line["accepted"]) for line in both["submits"]] == [
        ("fal", 1, 1),
        ("replicate", 2, 2),
    ]
    assert [job["model"] for job in one["jobs"]] == ["fal-ai/flux/schnell"]


async def test_jobs_can_be_picked_by_state(replicate, control, prompt):
    await predict(replicate, prompt("replicate=job_failed"))

    jobs = (await control.get("/jobs", params={"state": "failed", "limit": "1000"})).json()["jobs"]

    assert {job["state"] for job in jobs} == {"failed"}
    assert (await control.get("/jobs", params={"limit": "many"})).status_code == 400


async def test_the_front_page_lists_jobs_and_words(sandbox, replicate, prompt):
    await predict(replicate, prompt() + " <b>&")

    async with httpx.AsyncClient() as http:
        page = (await http.get(f"{sandbox.url}/")).text

    assert "&lt;b&gt;&amp;" in page
    assert "duplicate_callback" in page
    assert f"{sandbox.url}/replicate/v1" in page


async def test_everything_can_be_forgotten():
    async with running_sandbox() as sandbox, httpx.AsyncClient(base_url=sandbox.url) as http:
        await http.put("/sandbox/faults", json={"fal": {"faults": ["submit_500"]}})

        await http.delete("/sandbox/jobs")

        assert (await http.get("/sandbox/jobs")).json() == {"jobs": [], "submits": []}
        assert (await http.get("/sandbox/faults")).json()["configured"] == {}


def test_it_can_be_started_from_code_that_is_not_async():
    with started_sandbox() as sandbox:
        assert httpx.get(f"{sandbox.url}/sandbox/health").status_code == 200


def test_its_command_line_explains_itself():
    said = subprocess.run([sys.executable, "-m", "sandbox", "--help"], capture_output=True, text=True, check=True)

    for option in ("--port", "--host", "--data", "--latency-scale", "--seed", "--log-level"):
        assert option in said.stdout


def test_latencies_are_seeded_scaled_and_by_class():
    def total(latencies: Latencies, endpoint: str) -> float:
        return sum(latencies.of("fal", endpoint, model_of("fal", endpoint).kind, "a cat", 1, NO_FAULTS))

    image, video = "fal-ai/flux/dev", "fal-ai/veo3.1/fast"
    assert 0.6 <= total(Latencies(), image) <= 1.5
    assert 4 <= total(Latencies(), video) <= 8
    assert total(Latencies(), image) == total(Latencies(), image) != total(Latencies(seed=1), image)
    assert total(Latencies(scale=2), image) == 2 * total(Latencies(), image)
    assert total(Latencies(scale=0), video) == 0
