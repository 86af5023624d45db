"""One row per way of asking a provider: what the contract suite needs to know of it, and what it is not capable of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from adapters.providers import fal, replicate
from adapters.providers.settings import ProviderSettings
from sandbox.fal import credentials as fal_credentials
from sandbox.replicate import credentials as replicate_credentials

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
    synchronous: bool = False
    outputs: Literal["addresses", "bytes"] = "addresses"
    cannot: frozenset[str] = frozenset()  # fault words which this provider has no way to show
    errors: Mapping[str, type[Exception]] | None = None  # fault words which it shows as another error than the others


def _prompt(prompt: str) -> Mapping[str, Any]:
    return {"prompt": prompt}


CASES = [
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
