"""The providers' own Python packages, unchanged, against the simulator.

fal's package always speaks HTTPS to its queue host, so its one address constant is replaced here.
"""

from __future__ import annotations

import asyncio

import fal_client
import pytest
import replicate
from replicate.exceptions import ModelError, ReplicateError
from replicate.webhook import InvalidSignatureError, Webhooks, WebhookSigningSecret

from sandbox.fal import credentials as fal_credentials
from sandbox.replicate import credentials as replicate_credentials
from tests.support.submits import FAL_SCHNELL, SCHNELL


@pytest.fixture
def replicate_client(sandbox):
    return replicate.Client(base_url=f"{sandbox.url}/replicate", api_token=replicate_credentials.API_TOKEN)


@pytest.fixture
def fal_queue(sandbox, monkeypatch):
    monkeypatch.setattr("fal_client.client.QUEUE_URL_FORMAT", f"{sandbox.fal_queue_url}/")


async def test_replicate_runs_a_model(replicate_client, prompt):
    outputs = await asyncio.to_thread(replicate_client.run, SCHNELL, input={"prompt": prompt()})

    assert [url.rsplit("/", 1)[1] for url in outputs] == ["out-0.webp"]  # it wraps https and data URLs only


async def test_replicate_reads_a_data_url(replicate_client, prompt):
    asked = {"prompt": prompt("replicate=output_data_url")}

    outputs = await asyncio.to_thread(replicate_client.run, SCHNELL, input=asked)

    assert (await asyncio.to_thread(outputs[0].read))[:4] == b"RIFF"


async def test_replicate_runs_a_pinned_version(replicate_client, prompt):
    version = "stability-ai/sdxl:7762fd07cf82c948538e41f63f77d685e02b063e37e496e96eefd46c929f9bdc"

    outputs = await asyncio.to_thread(lambda: list(replicate_client.run(version, input={"prompt": prompt()})))

    assert len(outputs) == 1


async def test_replicate_runs_a_model_asynchronously(replicate_client, prompt):
    asked = {"prompt": prompt("replicate=output_data_url")}

    output = await replicate_client.async_run("google/imagen-4", input=asked)

    assert (await output.aread())[:2] == b"\xff\xd8"


async def test_replicate_raises_a_failed_model(replicate_client, prompt):
    with pytest.raises(ModelError, match="E005"):
        await asyncio.to_thread(replicate_client.run, SCHNELL, input={"prompt": prompt("replicate=content_refused")})


async def test_replicate_creates_gets_waits_and_lists(replicate_client, prompt, control):
    await control.delete("/jobs")  # others leave aborted predictions behind, a status that this client does not know

    def walk():
        created = replicate_client.predictions.create(model=SCHNELL, input={"prompt": prompt("replicate=latency_0.5")})
        got = replicate_client.predictions.get(created.id)
        before = created.status
        created.wait()
        return before, got, created, replicate_client.predictions.list()

    before, got, ended, page = await asyncio.to_thread(walk)

    assert (before, got.id, ended.status) == ("starting", ended.id, "succeeded")
    assert ended.output[0].endswith(".webp")
    assert ended.id in [prediction.id for prediction in page.results]


async def test_replicate_cancels(replicate_client, prompt):
    def walk():
        created = replicate_client.predictions.create(model=SCHNELL, input={"prompt": prompt("replicate=never_ends")})
        replicate_client.predictions.cancel(created.id)
        created.wait()
        return created.status

    assert await asyncio.to_thread(walk) == "canceled"


async def test_replicate_reads_account_model_and_problem(replicate_client):
    def walk():
        with pytest.raises(ReplicateError) as refused:
            replicate_client.predictions.create(model=SCHNELL, input={})
        return replicate_client.accounts.current(), replicate_client.models.get(SCHNELL), refused.value

    account, model, refused = await asyncio.to_thread(walk)

    assert account.username == "sandbox"
    assert model.latest_version.id
    assert (refused.status, refused.title) == (422, "Input validation failed")


async def test_replicate_uploads_a_file(replicate_client, tmp_path):
    path = tmp_path / "cat.png"
    path.write_bytes(b"bytes")

    uploaded = await asyncio.to_thread(replicate_client.files.create, path)
    listed = await asyncio.to_thread(replicate_client.files.list)

    assert uploaded.name == "cat.png"
    assert uploaded.id in [file.id for file in listed]


async def test_replicate_accepts_the_signature_of_a_webhook(replicate_client, prompt, ear):
    def submit():
        replicate_client.predictions.create(
            model=SCHNELL,
            input={"prompt": prompt("replicate=forged_callback")},
            webhook=ear.url(),
            webhook_events_filter=["completed"],
        )
        return replicate_client.webhooks.default.secret()

    secret = await asyncio.to_thread(submit)
    forged, real = await ear.heard(2)

    assert isinstance(secret, WebhookSigningSecret)
    Webhooks.validate(headers=real.headers, body=real.body.decode(), secret=secret, tolerance=300)
    with pytest.raises(InvalidSignatureError):
        Webhooks.validate(headers=forged.headers, body=forged.body.decode(), secret=secret, tolerance=300)


async def test_fal_subscribes(fal_queue, prompt):
    client, seen = fal_client.SyncClient(key=fal_credentials.KEY), []

    result = await asyncio.to_thread(
        lambda: client.subscribe(
            FAL_SCHNELL,
            {"prompt": prompt("fal=latency_1")},
            with_logs=True,
            on_queue_update=lambda status: seen.append(type(status).__name__),
        )
    )

    assert result["images"][0]["url"].endswith(".jpg")
    assert list(dict.fromkeys(seen)) == ["Queued", "InProgress", "Completed"]


async def test_fal_submits_looks_and_reads(fal_queue, prompt):
    client = fal_client.AsyncClient(key=fal_credentials.KEY)

    handle = await client.submit("fal-ai/veo3.1/fast", {"prompt": prompt(), "duration": "4s"})
    result = await handle.get()
    status = await client.status("fal-ai/veo3.1/fast", handle.request_id, with_logs=True)

    assert result["video"]["content_type"] == "video/mp4"
    assert isinstance(status, fal_client.Completed)
    assert await client.result("fal-ai/veo3.1/fast", handle.request_id) == result


async def test_fal_cancels(fal_queue, prompt):
    client = fal_client.AsyncClient(key=fal_credentials.KEY)

    handle = await client.submit(FAL_SCHNELL, {"prompt": prompt("fal=never_ends")})
    await client.cancel(FAL_SCHNELL, handle.request_id)
    events = [status async for status in handle.iter_events()]

    assert (events[-1].error_type, events[-1].error) == ("client_cancelled", "Request was cancelled by the client")
    with pytest.raises(fal_client.client.FalClientHTTPError) as canceled:
        await handle.get()
    assert canceled.value.status_code == 499


async def test_fal_raises_the_models_error(fal_queue, prompt):
    client = fal_client.AsyncClient(key=fal_credentials.KEY)

    with pytest.raises(fal_client.client.FalClientHTTPError) as refused:
        await client.subscribe(FAL_SCHNELL, {"prompt": prompt("fal=content_refused")})

    assert refused.value.status_code == 422
    assert "content_policy_violation" in refused.value.response.text
