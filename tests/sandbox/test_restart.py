"""kill -9 and restart: jobs, counts, faults and callbacks go on."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest_asyncio

from sandbox.fal import credentials as fal_credentials
from sandbox.replicate import credentials as replicate_credentials
from tests.support.sandbox import SandboxProcess
from tests.support.submits import completed, ended, predict, queue

REPLICATE = {"authorization": f"Bearer {replicate_credentials.API_TOKEN}"}
FAL = {"authorization": f"Key {fal_credentials.KEY}"}


@pytest_asyncio.fixture
async def mortal(tmp_path: Path):
    """A sandbox of its own, to be killed."""
    sandbox = SandboxProcess(tmp_path / "sandbox.sqlite", ("--latency-scale", "0", "--retry-scale", "0.5"))
    await asyncio.to_thread(sandbox.start)
    yield sandbox
    await asyncio.to_thread(sandbox.stop)


async def revive(sandbox: SandboxProcess) -> None:
    await asyncio.to_thread(sandbox.kill)
    await asyncio.to_thread(sandbox.start)


async def recorded(sandbox: SandboxProcess, text: str) -> None:
    """Wait until the answer to a callback is in the journal: a kill before that rightly repeats it."""
    async with httpx.AsyncClient(base_url=f"{sandbox.url}/sandbox") as control:
        for _ in range(200):
            (job,) = (await control.get("/jobs", params={"prompt": text})).json()["jobs"]
            if job["callbacks_sent"]:
                return
            await asyncio.sleep(0.01)
    raise TimeoutError("no callback was recorded")


async def test_a_job_outlives_a_kill_and_its_callback_is_sent(mortal, ear):
    async with (
        httpx.AsyncClient(base_url=mortal.replicate_url, headers=REPLICATE) as replicate,
        httpx.AsyncClient(base_url=mortal.fal_queue_url, headers=FAL) as fal,
    ):
        filtered = {"webhook": ear.url(), "webhook_events_filter": ["start", "completed"]}
        predicted = (await predict(replicate, "a cat [sandbox:replicate=latency_2]", **filtered)).json()
        queued = (await queue(fal, "a dog [sandbox:fal=latency_2]", webhook=ear.url("/fal"))).json()
        await ear.heard(1)  # started
        await recorded(mortal, "a cat [sandbox:replicate=latency_2]")

        await revive(mortal)
        calls, (told,) = await ear.heard(2), await ear.heard(1, "/fal")
        done = await ended(replicate, predicted)
        result = await completed(fal, queued)

        assert [json.loads(call.body)["status"] for call in calls] == ["processing", "succeeded"]
        assert json.loads(calls[1].body)["id"] == done["id"] == predicted["id"]
        assert done["metrics"]["total_time"] == 2
        assert json.loads(told.body)["payload"] == result.json()
        assert (await replicate.get(done["output"][0])).status_code == 200


async def test_attempts_at_a_callback_go_on_after_a_kill(mortal, ear):
    ear.statuses = [500, 500]
    async with httpx.AsyncClient(base_url=mortal.replicate_url, headers=REPLICATE) as replicate:
        await predict(replicate, "a cat", webhook=ear.url(), webhook_events_filter=["completed"])
        await ear.heard(1)
        await recorded(mortal, "a cat")

        await revive(mortal)
        calls = await ear.heard(3)

    assert len({call.headers["webhook-id"] for call in calls}) == 1
    async with httpx.AsyncClient(base_url=f"{mortal.url}/sandbox") as control:
        (job,) = (await control.get("/jobs")).json()["jobs"]
    assert job["submits_received"] == 1


async def test_callbacks_already_sent_are_not_sent_again(mortal, ear):
    async with httpx.AsyncClient(base_url=mortal.replicate_url, headers=REPLICATE) as replicate:
        await predict(replicate, "one", webhook=ear.url("/one"), webhook_events_filter=["completed"])
        await ear.heard(1, "/one")
        await recorded(mortal, "one")

        await revive(mortal)
        await predict(replicate, "two", webhook=ear.url("/two"), webhook_events_filter=["completed"])
        await ear.heard(1, "/two")

    assert len(ear.at("/one")) == 1


async def test_counts_and_faults_outlive_a_kill(mortal):
    async with (
        httpx.AsyncClient(base_url=mortal.replicate_url, headers=REPLICATE) as replicate,
        httpx.AsyncClient(base_url=f"{mortal.url}/sandbox") as control,
    ):
        first = await predict(replicate, "a cat [sandbox:replicate=submit_503x1]")
        await control.put("/faults", json={"replicate": {"faults": ["job_failed"], "times": 1}})
        await revive(mortal)

        second = await predict(replicate, "a cat [sandbox:replicate=submit_503x1]")
        failed = await ended(replicate, second.json())

    assert (first.status_code, second.status_code, failed["status"]) == (503, 201, "failed")


async def test_a_cancel_outlives_a_kill(mortal):
    async with httpx.AsyncClient(base_url=mortal.replicate_url, headers=REPLICATE) as replicate:
        created = (await predict(replicate, "a cat [sandbox:replicate=never_ends]")).json()
        await replicate.post(created["urls"]["cancel"])
        await revive(mortal)

        assert (await ended(replicate, created))["status"] == "canceled"
