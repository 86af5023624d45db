"""Cloudflare's own Python package, unchanged, against the simulator. It reads no answer that is not JSON."""

from __future__ import annotations

import base64

import pytest
import pytest_asyncio
from cloudflare import AsyncCloudflare, AuthenticationError, BadRequestError, RateLimitError

from sandbox.cloudflare import credentials

SCHNELL, PHOENIX = "@cf/black-forest-labs/flux-1-schnell", "@cf/leonardo/phoenix-1.0"
JPEG = b"\xff\xd8\xff"


@pytest_asyncio.fixture
async def cloudflare(sandbox):
    base = f"{sandbox.url}/cloudflare/client/v4"
    async with AsyncCloudflare(api_token=credentials.TOKEN, base_url=base, max_retries=0, timeout=15) as client:
        yield client


async def test_it_runs_a_model_that_answers_with_an_envelope(cloudflare, prompt):
    result = await cloudflare.ai.run(SCHNELL, account_id=credentials.ACCOUNT_ID, prompt=prompt())

    assert base64.b64decode(result["image"]).startswith(JPEG)


async def test_it_passes_on_the_bytes_of_a_model_that_answers_with_them(cloudflare, prompt):
    answer = await cloudflare.ai.with_raw_response.run(
        PHOENIX, account_id=credentials.ACCOUNT_ID, prompt=prompt(), width=512, height=512
    )

    assert answer.headers["content-type"] == "image/jpeg"
    assert (await answer.read()).startswith(JPEG)


@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        ("submit_401", AuthenticationError, 10000),
        ("submit_402", RateLimitError, 4006),
        ("submit_503", RateLimitError, 3040),
        ("content_refused", BadRequestError, 8007),
    ],
)
async def test_it_raises_what_went_wrong(cloudflare, prompt, fault, error, code):
    with pytest.raises(error) as failure:
        await cloudflare.ai.run(SCHNELL, account_id=credentials.ACCOUNT_ID, prompt=prompt(f"cloudflare={fault}"))

    assert [told.code for told in failure.value.errors] == [code]


async def test_it_raises_a_parameter_that_the_model_does_not_know(cloudflare, prompt):
    with pytest.raises(BadRequestError, match="'/seed' at '/' not allowed"):
        await cloudflare.ai.run(SCHNELL, account_id=credentials.ACCOUNT_ID, prompt=prompt(), seed=7)


async def test_it_searches_the_models(cloudflare):
    found = await cloudflare.ai.models.list(account_id=credentials.ACCOUNT_ID, task="Text-to-Image")

    assert SCHNELL in [model["name"] for model in found.result]
