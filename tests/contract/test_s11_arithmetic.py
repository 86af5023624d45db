"""Section 11.2: the estimate is the reservation, for every model, resolution, sound and number of outputs."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import httpx
import pytest
from temporalio.client import Client

from activities.records import RecordActivities
from adapters.local_store import LocalStore
from catalog.loader import load_catalog
from domain.generation import MediaType
from domain.model import Model
from settings import Settings
from store import ledger
from store.connection import Pool, single
from tests.api.conftest import NewCustomer, serving
from tests.api.test_admission import admitting, unattended  # noqa: F401 - fixture
from tests.contract.conforming import Conformance

CATALOG = load_catalog()
THREE_DECIMALS = Decimal("0.001")


@dataclass(frozen=True)
class Ask:
    """The same wish as a body and as a query."""

    model: Model
    body: dict[str, Any]
    query: dict[str, Any]

    @property
    def path(self) -> str:
        return f"/v1/generate/{self.model.media_type.value}/{self.model.identifier}"

    def __str__(self) -> str:
        wishes = ",".join(f"{name}={value}" for name, value in self.query.items())
        return f"{self.model.identifier}?{wishes}"


# One of each way to price: flat and by tier, by the second and not, with and without sound. Estimates and holds come
# from one function, so more of them would only take longer.
MODELS = [
    CATALOG.model(name)
    for name in (
        "bfl/flux-schnell",
        "bfl/flux-krea-dev",
        "google/imagen-4",
        "google/veo-3.1-fast",
        "kling/v2.5-turbo-pro",
        "kling/v2.6",
        "bytedance/seedance-1-pro",
        "lightricks/ltx-2.3-fast",
        "minimax/hailuo-02",
    )
]


def asks() -> Iterator[Ask]:
    """Every resolution with every sound; the first and the last duration, one output and the most."""
    for model in MODELS:
        resolutions = model.resolutions or (None,)
        sounds = (False, True) if model.audio else (None,)
        for resolution, sound in itertools.product(resolutions, sounds):
            durations = model.durations_at(resolution) if model.media_type is MediaType.VIDEO else (None,)
            counts = {1, model.outputs_max} if model.media_type is MediaType.IMAGE else {1}
            for duration, count in itertools.product({durations[0], durations[-1]}, counts):
                body = {
                    "generation_prompt": "a harbour",
                    "generation_resolution": resolution,
                    "generation_generate_audio": sound,
                    "generation_duration": duration,
                    "generation_output_number": None if count == 1 else count,
                }
                query = {"resolution": resolution, "audio": sound, "duration": duration, "count": count}
                yield Ask(
                    model,
                    {name: value for name, value in body.items() if value is not None},
                    {
                        name: str(value).lower() if isinstance(value, bool) else value
                        for name, value in query.items()
                        if value is not None
                    },
                )


def formula(ask: Ask) -> Decimal:
    """The table of section 11.2, read from the public library's prices."""
    rates = ask.model.prices.at(None).rates
    rate = Decimal(rates.at(ask.query.get("resolution"), audio=ask.query.get("audio") == "true")) / 1_000_000
    units = ask.query.get("duration", 1)
    return (rate * units).quantize(THREE_DECIMALS, ROUND_HALF_UP)


@pytest.fixture(scope="module")
async def admitted_only(
    settings: Settings,
    pool: Pool,
    objects: LocalStore,
    unattended: Client,  # noqa: F811
    conformance: Conformance,
) -> AsyncIterator[httpx.AsyncClient]:
    """The API, with nobody who works on what it has accepted: that is hundreds of generations."""
    records = RecordActivities(pool=pool, assets=objects, file_url_ttl=timedelta(hours=1))
    own = settings.model_copy(update={"temporal_address": unattended.service_client.config.target_host})
    async with admitting(unattended, records.admit_generation), serving(own) as http:
        http.event_hooks = {"response": [conformance.hook]}
        yield http


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.identifier)
async def test_11_2_an_estimate_is_exactly_what_a_generation_holds(
    admitted_only: httpx.AsyncClient, new_customer: NewCustomer, pool: Pool, model: Model
):
    http = admitted_only
    customer = await new_customer(credits=1_000_000_000)
    for ask in [ask for ask in asks() if ask.model is model]:
        response = await http.get(f"/v1/estimate/{model.identifier}", params=ask.query, headers=customer.auth)
        estimated = response.json()["data"]
        async with single(pool) as conn:
            before = await ledger.balance(conn, customer.account_id)
        created = await http.post(ask.path, headers=customer.auth, json=ask.body)
        assert created.status_code == 200, f"{ask}: {created.text}"
        async with single(pool) as conn:
            after = await ledger.balance(conn, customer.account_id)

        each, total = (Decimal(str(estimated[f"cost_{name}"])) for name in ("per_generation", "total_consumed"))
        assert (ask, each) == (ask, formula(ask))
        assert total == each * ask.query["count"]
        assert before.available - after.available == total * 1_000_000


@pytest.mark.parametrize(
    ("credits", "price", "affordable"),
    [pytest.param(10_000_000, 0.005, 2000, id="10.000 at 0.005"), pytest.param(4_999, 0.005, 0, id="just too little")],
)
async def test_11_2_what_a_balance_pays_for_is_rounded_down(
    http: httpx.AsyncClient, new_customer: NewCustomer, credits: int, price: float, affordable: int
):
    customer = await new_customer(credits=credits)

    data = (await http.get("/v1/estimate/bfl/flux-schnell", headers=customer.auth)).json()["data"]

    assert data["cost_per_generation"] == price
    assert data["credit_balance_max_affordable"] == affordable
    assert data["credit_balance_can_afford"] is (affordable > 0)


async def test_11_1_a_balance_that_is_exactly_enough_is_enough(http: httpx.AsyncClient, new_customer: NewCustomer):
    customer = await new_customer(credits=5_000)
    body = {"generation_prompt": "a harbour", "generation_provider_order": "replicate"}

    first = await http.post("/v1/generate/image/bfl/flux-schnell", headers=customer.auth, json=body)
    second = await http.post("/v1/generate/image/bfl/flux-schnell", headers=customer.auth, json=body)

    assert (first.status_code, second.status_code) == (200, 402)


@pytest.mark.parametrize("audio", ["true", "false"])
async def test_11_2_a_price_without_sound_ignores_it(http: httpx.AsyncClient, new_customer: NewCustomer, audio: str):
    customer = await new_customer()

    plain = (await http.get("/v1/estimate/pixverse/v5?duration=5", headers=customer.auth)).json()["data"]
    asked = await http.get(f"/v1/estimate/pixverse/v5?duration=5&audio={audio}", headers=customer.auth)

    assert asked.json()["data"] == plain
