"""One row per way of asking a provider: what the contract suite needs to know of it, and what it is not capable of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from adapters.providers import alibabacloud, bfl, byteplus, cloudflare, fal, openai, replicate, runway
from adapters.providers.settings import ProviderSettings
from domain.errors import ProviderFailed
from sandbox.alibabacloud import credentials as alibabacloud_credentials
from sandbox.bfl import credentials as bfl_credentials
from sandbox.byteplus import credentials as byteplus_credentials
from sandbox.cloudflare import credentials as cloudflare_credentials
from sandbox.fal import credentials as fal_credentials
from sandbox.openai import credentials as openai_credentials
from sandbox.replicate import credentials as replicate_credentials
from sandbox.runway import credentials as runway_credentials

ANY_STATE = frozenset(
    {"never_starts", "never_ends"}
)  # fault words of jobs that a cancel ends: queued ones, running ones
QUEUED = frozenset({"never_starts"})


@dataclass(frozen=True)
class Case:
    name: str  # the provider's, and what is asked of it where there are two ways
    provider: str
    native_model: str
    native_input: Callable[[str], Mapping[str, Any]]  # the cheapest, from a prompt
    settings: Callable[[str, str | None], ProviderSettings]  # from the sandbox's address, and a credential of its own
    wrong_credential: str
    endpoint: str = ""
    lists: bool = True  # a lost job can be found
    cancels: frozenset[str] = ANY_STATE
    canceled_is_gone: bool = False  # afterwards the provider does not know the job
    rings: Literal["signed", "unsigned", "no"] = "signed"
    calls: int = 1  # how often it rings for one job
    synchronous: bool = False
    outputs: Literal["addresses", "bytes"] = "addresses"
    cannot: frozenset[str] = frozenset()  # fault words which this provider has no way to show
    errors: Mapping[str, type[Exception]] | None = None  # fault words which it shows as another error than the others


def _prompt(prompt: str) -> Mapping[str, Any]:
    return {"prompt": prompt}


def _byteplus(url: str, credential: str | None) -> ProviderSettings:
    return byteplus.Settings(
        _env_file=None,  # type: ignore[call-arg]
        key=credential or byteplus_credentials.API_KEY,
        base_url=f"{url}/byteplus/api/v3",
    )


def _alibabacloud(url: str, credential: str | None) -> ProviderSettings:
    return alibabacloud.Settings(
        _env_file=None,  # type: ignore[call-arg]
        key=credential or alibabacloud_credentials.KEY,
        base_url=f"{url}/alibabacloud/api/v1",
    )


def _openai(url: str, credential: str | None) -> ProviderSettings:
    return openai.Settings(
        _env_file=None,  # type: ignore[call-arg]
        key=credential or openai_credentials.KEY,
        base_url=f"{url}/openai/v1",
        webhook_secret=openai_credentials.WEBHOOK_SECRET,
    )


def _bfl(url: str, credential: str | None) -> ProviderSettings:
    return bfl.Settings(
        _env_file=None,  # type: ignore[call-arg]
        key=credential or bfl_credentials.KEY,
        base_url=f"{url}/bfl",
        webhook_secret=bfl_credentials.WEBHOOK_SECRET,
    )


def _runway(url: str, credential: str | None) -> ProviderSettings:
    return runway.Settings(
        _env_file=None,  # type: ignore[call-arg]
        key=credential or runway_credentials.KEY,
        base_url=f"{url}/runway",
    )


CASES = [
    Case(
        name="bfl",
        provider="bfl",
        native_model="flux-dev",
        native_input=lambda prompt: {"prompt": prompt, "width": 256, "height": 256},
        settings=_bfl,
        wrong_credential="00000000-0000-4000-8000-00000000beef",
        lists=False,
        cancels=frozenset(),
        errors={"job_failed_e6716": ProviderFailed},  # it tells no reasons
    ),
    Case(
        name="runway",
        provider="runway",
        native_model="gen4_image",
        native_input=lambda prompt: {"promptText": prompt, "ratio": "720:720"},
        settings=_runway,
        wrong_credential="key_" + "f" * 40,
        endpoint="/v1/text_to_image",
        lists=False,
        canceled_is_gone=True,
        rings="no",
        errors={"job_failed_e6716": ProviderFailed},
    ),
    Case(
        name="alibabacloud-image",
        provider="alibabacloud",
        native_model="qwen-image-plus",
        native_input=lambda prompt: {
            "input": {"messages": [{"role": "user", "content": [{"text": prompt}]}]},
            "parameters": {"n": 1, "size": "1328*1328"},
        },
        settings=_alibabacloud,
        wrong_credential="sk-wrong",
        endpoint="/services/aigc/multimodal-generation/generation",
        lists=False,
        cancels=frozenset(),
        rings="no",
        synchronous=True,
    ),
    Case(
        name="alibabacloud-video",
        provider="alibabacloud",
        native_model="wan2.1-t2v-turbo",
        native_input=lambda prompt: {"input": {"prompt": prompt}, "parameters": {"size": "624*624", "duration": 5}},
        settings=_alibabacloud,
        wrong_credential="sk-wrong",
        endpoint="/services/aigc/video-generation/video-synthesis",
        cancels=QUEUED,
        rings="no",
    ),
    Case(
        name="byteplus-image",
        provider="byteplus",
        native_model="seedream-4-0-250828",
        native_input=lambda prompt: {"prompt": prompt, "size": "1024x1024", "watermark": False},
        settings=_byteplus,
        wrong_credential="5ad1b1a5-0000-4000-8000-00000000beef",
        lists=False,
        cancels=frozenset(),
        rings="no",
        synchronous=True,
        errors={"job_failed_e6716": ProviderFailed},
    ),
    Case(
        name="byteplus-video",
        provider="byteplus",
        native_model="seedance-1-0-pro-250528",
        native_input=lambda prompt: {
            "content": [{"type": "text", "text": prompt}],
            "resolution": "480p",
            "ratio": "1:1",
            "duration": 2,
        },
        settings=_byteplus,
        wrong_credential="5ad1b1a5-0000-4000-8000-00000000beef",
        cancels=QUEUED,
        rings="unsigned",
        calls=3,
    ),
    Case(
        name="cloudflare",
        provider="cloudflare",
        native_model="@cf/black-forest-labs/flux-1-schnell",
        native_input=_prompt,
        settings=lambda url, credential: cloudflare.Settings(
            _env_file=None,  # type: ignore[call-arg]
            token=credential or cloudflare_credentials.TOKEN,
            account_id=cloudflare_credentials.ACCOUNT_ID,
            base_url=f"{url}/cloudflare/client/v4",
        ),
        wrong_credential="some-other-token",
        lists=False,
        cancels=frozenset(),
        rings="no",
        synchronous=True,
        outputs="bytes",
    ),
    Case(
        name="fal",
        provider="fal",
        native_model="fal-ai/flux/schnell",
        native_input=_prompt,
        settings=lambda url, credential: fal.Settings(
            _env_file=None,  # type: ignore[call-arg]
            key=credential or fal_credentials.KEY,
            queue_url=f"{url}/fal/queue",
            rest_url=f"{url}/fal/rest",
            platform_url=f"{url}/fal/platform/v1",
        ),
        wrong_credential="5ad1b1a5-0000-4000-8000-00000000beef:wrong",
    ),
    Case(
        name="openai-image",
        provider="openai",
        native_model="gpt-image-2",
        native_input=lambda prompt: {"prompt": prompt, "size": "512x512", "quality": "low"},
        settings=_openai,
        wrong_credential="sk-somebody-else",
        lists=False,
        cancels=frozenset(),
        rings="no",
        synchronous=True,
        outputs="bytes",
    ),
    Case(
        name="openai-video",
        provider="openai",
        native_model="sora-2",
        native_input=lambda prompt: {"prompt": prompt, "seconds": "4", "size": "720x1280"},
        settings=_openai,
        wrong_credential="sk-somebody-else",
        endpoint="/videos",
        cancels=frozenset(),
        rings="no",  # at an address of the whole project: tests/sandbox/test_openai.py
        cannot=frozenset({"output_none", "output_data_url"}),
        errors={"job_failed_e6716": ProviderFailed},
    ),
    Case(
        name="replicate",
        provider="replicate",
        native_model="black-forest-labs/flux-schnell",
        native_input=_prompt,
        settings=lambda url, credential: replicate.Settings(
            _env_file=None,  # type: ignore[call-arg]
            api_token=credential or replicate_credentials.API_TOKEN,
            base_url=f"{url}/replicate/v1",
            webhook_secret=replicate_credentials.WEBHOOK_SECRET,
        ),
        wrong_credential="r8_" + "x" * 37,
    ),
]
