"""A server of another kind, as people run their own: addresses for base64, no usage, text for errors."""

import asyncio
import io
import json
from datetime import timedelta

import pytest

from adapters.guarded_http import GuardedFetcher
from adapters.input_files import FileReader
from adapters.providers import openai
from domain.addresses import AddressRules
from domain.errors import ProviderRejectedInput, SubmitAmbiguous
from domain.media import inspect
from domain.provider import JobState, Tools
from tests.support.providers import a_submission
from tests.support.servers import a_server, plain
from tests.support.staged_worker import A_PNG

LIMITS = {"bytes_max": 10_000, "time_max": timedelta(seconds=5)}
VIDEO = {"id": "7c1e", "model": "my-video", "status": "completed", "prompt": "p", "created_at": 1}


def asking(**changes):
    given = {"native_model": "my-model", "native_input": {"prompt": "a lighthouse"}, "callback_url": None}
    return a_submission(**given | changes)


def their_answer(port: int, target: str) -> bytes:
    match target:
        case "/v1/images/generations" | "/v1/images/edits":
            return plain(json.dumps({"data": [{"url": f"http://127.0.0.1:{port}/out.png"}]}).encode())
        case "/v1/videos" | "/v1/videos/7c1e":
            return plain(json.dumps(VIDEO).encode())
        case "/v1/models":
            return plain(b'{"data": []}')
        case "/out.png" | "/v1/videos/7c1e/content":
            return plain(A_PNG)
        case _:
            return plain(b"404 page not found", 404)


@pytest.fixture
async def server():
    async with a_server(lambda writer, target: writer.write(their_answer(running.port, target))) as running:
        yield running


@pytest.fixture
async def fetcher(server):
    made = GuardedFetcher(AddressRules(frozenset({f"127.0.0.1:{server.port}"})))
    yield made
    await made.aclose()


@pytest.fixture
def adapter(server, fetcher):
    told = openai.Settings(_env_file=None, key="none", base_url=f"http://127.0.0.1:{server.port}/v1")
    return openai.build(told, Tools(timedelta(seconds=5), FileReader(fetcher)))


async def fetched(fetcher, output) -> str:
    file = io.BytesIO()
    download = await fetcher.fetch(output.url, file, headers=output.headers, **LIMITS)
    return inspect(file, download.size_bytes).content_type


async def test_a_picture_is_made_and_fetched_from_its_address(adapter, fetcher):
    job = await adapter.submit(asking())

    assert (job.state, job.ref.job_id) == (JobState.SUCCEEDED, asking().attempt_id)
    assert await fetched(fetcher, job.outputs[0]) == "image/png"


async def test_a_picture_is_edited(adapter, server, fetcher):
    picture = f"http://127.0.0.1:{server.port}/out.png"

    job = await adapter.submit(asking(native_input={"prompt": "a lighthouse", "image": [picture]}))

    assert await fetched(fetcher, job.outputs[0]) == "image/png"
    assert A_PNG in server.requests[-2], "the file itself was in the form"


async def test_a_video_is_read_and_its_file_fetched_with_the_key(adapter, server, fetcher):
    job = await adapter.submit(asking(endpoint="/videos"))

    done = await adapter.read(job.ref)

    assert await fetched(fetcher, done.outputs[0]) == "image/png"
    assert b"authorization: bearer none" in server.requests[-1].lower()


async def test_its_key_can_be_checked(adapter):
    await adapter.check()


async def test_an_error_in_plain_text_is_a_refusal(adapter):
    with pytest.raises(ProviderRejectedInput):
        await adapter.submit(asking(endpoint="/images/variations"))


async def test_a_server_that_dribbles_is_left_at_the_deadline():
    async def dribble(writer, _target):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n")
        for _ in range(9000):
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with a_server(dribble) as slow:
        told = openai.Settings(_env_file=None, key="none", base_url=f"http://127.0.0.1:{slow.port}/v1")
        adapter = openai.build(told, Tools(timedelta(seconds=5), FileReader(GuardedFetcher())))

        with pytest.raises(SubmitAmbiguous, match="before its deadline"):
            await adapter.submit(asking(deadline=timedelta(seconds=0.3)))
