"""Section 10.15: the object store and the cache are asked, not often, not for long, and answered about with 200."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from api import samples
from api.probes import Probe, timed
from api.schemas import CacheHealth, StorageHealth, Success
from domain.errors import StorageUnavailable
from domain.limits import CountersUnavailable
from embedded.ports import free_ports
from settings import Settings
from tests.api.conftest import Customer, reaching, serving
from tests.api.reading import data_of


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_10_15_the_object_store_is_named_as_its_folder_and_not_where_that_is(
    http: httpx.AsyncClient, customer: Customer, settings: Settings
):
    data = data_of(await http.get("/v1/health/storage", headers=customer.auth), StorageHealth)

    assert settings.storage_path is not None
    latency_ms = data.pop("latency_ms")
    assert data == {"service": "storage", "healthy": True, "bucket": settings.storage_path.name}
    assert type(latency_ms) is int
    assert latency_ms >= 0


async def test_10_15_the_cache_within_the_process_is_healthy_at_no_distance(
    http: httpx.AsyncClient, customer: Customer
):
    data = data_of(await http.get("/v1/health/cache", headers=customer.auth), CacheHealth)

    assert data == {"service": "redis", "healthy": True, "latency_ms": 0}


async def test_10_15_a_store_that_does_not_work_is_an_answer_that_names_no_path(
    settings: Settings, customer: Customer, tmp_path: Path
):
    in_the_way = tmp_path / "artifacts"
    in_the_way.write_text("a file where a folder should be")

    async with serving(settings.model_copy(update={"storage_path": in_the_way})) as http:
        data = data_of(await http.get("/v1/health/storage", headers=customer.auth), StorageHealth)

    assert data.pop("latency_ms") >= 0
    assert data == {
        "service": "storage",
        "healthy": False,
        "bucket": "artifacts",
        "error": "The artifact folder cannot be written.",
    }


async def test_10_15_a_bucket_that_does_not_answer_is_an_answer_that_names_no_address(
    settings: Settings, customer: Customer
):
    (port,) = free_ports(1)
    away = {
        "storage_bucket": "renders",
        "storage_endpoint": f"http://127.0.0.1:{port}",
        "storage_access_key": "key",
        "storage_secret_key": settings.secret_key,
    }

    async with serving(settings.model_copy(update=away)) as http:
        data = data_of(await http.get("/v1/health/storage", headers=customer.auth), StorageHealth)

    assert (data["service"], data["healthy"], data["bucket"]) == ("storage", False, "renders")
    assert data["error"] in {
        "The object store does not answer: EndpointConnectionError.",
        "No answer within 2 seconds.",
    }


async def test_10_15_a_cache_that_does_not_answer_is_an_answer_that_names_no_address(
    settings: Settings, customer: Customer
):
    (port,) = free_ports(1)
    address = type(settings.secret_key)(f"redis://:secret@127.0.0.1:{port}/0")

    async with serving(settings.model_copy(update={"counters_url": address})) as http:
        data = data_of(await http.get("/v1/health/cache", headers=customer.auth), CacheHealth)

    assert data.pop("latency_ms") >= 0
    assert data == {"service": "redis", "healthy": False, "error": "It does not answer."}


@asynccontextmanager
async def told_by(app: FastAPI, probe: Probe) -> AsyncIterator[httpx.AsyncClient]:
    app.state.services = replace(app.state.services, storage_probe=probe)
    async with reaching(app, "127.0.0.1") as http:
        yield http


async def test_10_15_the_route_says_what_the_probe_says(settings_app: FastAPI, customer: Customer):
    async def ask() -> timedelta:
        return timedelta(milliseconds=12.9)

    async with told_by(settings_app, Probe("storage", ask)) as http:
        data = data_of(await http.get("/v1/health/storage", headers=customer.auth), StorageHealth)

    assert (data["healthy"], data["latency_ms"]) == (True, 12)
    assert "error" not in data


# --- the probe ----------------------------------------------------------------------------------------------------


class Dependency:
    """Answers when it is let."""

    def __init__(self, error: Exception | None = None) -> None:
        self.asked = 0
        self.error = error
        self.let = asyncio.Event()
        self.let.set()

    async def __call__(self) -> timedelta:
        self.asked += 1
        await self.let.wait()
        if self.error is not None:
            raise self.error
        return timedelta(milliseconds=7)


async def test_10_15_an_answer_holds_for_five_seconds():
    clock, dependency = Clock(), Dependency()
    probe = Probe("it", dependency, clock=clock)

    for now in (1000.0, 1004.9, 1005.0, 1009.9):
        clock.now = now
        assert (await probe.result()).healthy

    assert dependency.asked == 2


async def test_10_15_a_bad_answer_holds_as_long():
    clock, dependency = Clock(), Dependency(StorageUnavailable("The store is full."))
    probe = Probe("it", dependency, clock=clock)

    first = await probe.result()
    dependency.error = None

    assert (first.healthy, first.error) == (False, "The store is full.")
    assert await probe.result() == first
    clock.now += 5
    assert (await probe.result()).healthy


async def test_10_15_many_who_ask_at_once_ask_it_once():
    dependency = Dependency()
    probe = Probe("it", dependency)

    answers = await asyncio.gather(*(probe.result() for _ in range(20)))

    assert dependency.asked == 1
    assert {answer.latency_ms for answer in answers} == {7}


async def test_10_15_one_that_hangs_is_given_up_and_not_asked_again_while_it_hangs():
    clock, dependency = Clock(), Dependency()
    dependency.let.clear()
    probe = Probe("it", dependency, within_s=0.05, clock=clock)

    for _ in range(3):
        answer = await probe.result()
        assert (answer.healthy, answer.error) == (False, "No answer within 0.05 seconds.")
        clock.now += 5
    assert dependency.asked == 1

    dependency.let.set()
    await asyncio.sleep(0)  # the old question is answered; nobody reads it
    clock.now += 5
    assert (await probe.result()).healthy
    await probe.close()


async def test_10_15_a_probe_can_be_closed_while_it_hangs():
    dependency = Dependency()
    dependency.let.clear()
    probe = Probe("it", dependency, within_s=0.01)
    await probe.result()

    await probe.close()

    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task() and "Probe" in repr(task)]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (StorageUnavailable("The object store refused: AccessDenied."), "The object store refused: AccessDenied."),
        (CountersUnavailable("redis://:secret@10.0.0.1"), "It does not answer."),
        (RuntimeError("/srv/secret: token=abc"), "It could not be asked."),
    ],
)
async def test_10_15_what_is_told_of_a_failure_was_written_to_be_told(error: Exception, told: str):
    answer = await Probe("it", Dependency(error)).result()

    assert (answer.healthy, answer.error) == (False, told)
    assert type(answer.latency_ms) is int


async def test_a_check_is_timed():
    async def check() -> None: ...

    assert timedelta(0) <= await timed(check)() < timedelta(seconds=60)


@pytest.mark.parametrize(
    ("sample", "shape"), [(samples.STORAGE_HEALTH, StorageHealth), (samples.CACHE_HEALTH, CacheHealth)]
)
def test_10_15_the_samples_have_the_published_shape(sample: dict[str, Any], shape: Any):
    Success[shape].model_validate(sample)
