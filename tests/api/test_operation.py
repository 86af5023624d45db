"""Beside the contract: health for load balancers, the reference, and the files of a local store."""

from __future__ import annotations

import re
import tomllib
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from temporalio.client import Client

from adapters.local_store import LocalStore
from api.app import VERSION, create_app
from settings import Settings
from tests.api.conftest import Customer, a_finished, serving
from tests.support.staged_worker import A_PNG, StagedProvider

NOWHERE = "127.0.0.1:1"


async def test_a_process_that_answers_is_alive(http: httpx.AsyncClient):
    response = await http.get("/livez")

    assert (response.status_code, response.json()) == (200, {"status": "alive"})


async def test_it_is_ready_when_postgresql_and_temporal_answer(http: httpx.AsyncClient):
    response = await http.get("/readyz")

    assert response.status_code == 200
    assert response.json() == {"status": "ready", "checks": {"database": "ok", "engine": "ok"}}


@pytest.mark.parametrize(
    ("change", "checks"),
    [
        pytest.param({"temporal_address": NOWHERE}, {"database": "ok", "engine": "unavailable"}, id="without Temporal"),
        pytest.param(
            {"database_url": SecretStr(f"postgresql://nobody@{NOWHERE}/none")},
            {"database": "unavailable", "engine": "ok"},
            id="without PostgreSQL",
        ),
    ],
)
async def test_it_starts_and_says_what_is_missing(
    settings: Settings, change: dict[str, object], checks: dict[str, str]
):
    async with serving(settings.model_copy(update=change)) as http:
        alive = await http.get("/livez")
        ready = await http.get("/readyz")

    assert alive.status_code == 200
    assert (ready.status_code, ready.json()) == (503, {"status": "unavailable", "checks": checks})


@pytest.fixture
async def file_url(http: httpx.AsyncClient, engine: Client, customer: Customer, replicate: StagedProvider) -> str:
    generation_id = await a_finished(http, engine, customer, replicate)
    read = await http.get(f"/v1/content/{generation_id}", headers=customer.auth)
    url: str = read.json()["data"]["generation_output_file"][0]
    return url


async def test_a_file_is_served_at_its_signed_address(http: httpx.AsyncClient, file_url: str):
    response = await http.get(file_url)

    assert response.content == A_PNG
    assert response.headers["Content-Type"] == "image/png"
    assert response.headers["Cache-Control"].startswith("private")
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Accept-Ranges"] == "bytes"


async def test_a_part_of_a_file_is_served(http: httpx.AsyncClient, file_url: str):
    response = await http.get(file_url, headers={"Range": "bytes=1-3"})

    assert (response.status_code, response.content) == (206, b"PNG")
    assert response.headers["Content-Range"] == f"bytes 1-3/{len(A_PNG)}"


async def test_the_head_of_a_file_has_no_body(http: httpx.AsyncClient, file_url: str):
    response = await http.head(file_url)

    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["Content-Length"] == str(len(A_PNG))


@pytest.mark.parametrize(
    "altered",
    [
        pytest.param(lambda url: url.partition("?")[0], id="no signature"),
        pytest.param(lambda url: url[:-1] + ("A" if url[-1] != "A" else "B"), id="another signature"),
        pytest.param(lambda url: re.sub(r"expires=\d+", "expires=9999999999", url), id="a later end"),
        pytest.param(lambda url: re.sub(r"expires=\d+", "expires=soon", url), id="no end"),
        pytest.param(lambda url: url.replace("/0.png", "/1.png"), id="another file"),
        pytest.param(lambda url: url.replace("/files/", "/files/x/%2e%2e/"), id="a path that climbs"),
    ],
)
async def test_an_altered_address_is_refused(http: httpx.AsyncClient, file_url: str, altered: object):
    assert callable(altered)

    response = await http.get(altered(file_url))

    assert response.status_code in {403, 404}
    assert response.content != A_PNG


async def test_an_expired_address_is_refused(http: httpx.AsyncClient, objects: LocalStore):
    url = await objects.url("us/account/generation/attempt/0.png", expires_in=timedelta(seconds=-1))

    assert (await http.get(url)).status_code == 403


async def test_a_file_that_was_deleted_is_not_found(http: httpx.AsyncClient, objects: LocalStore):
    url = await objects.url("us/account/generation/attempt/0.png", expires_in=timedelta(hours=1))

    assert (await http.get(url)).status_code == 404


def test_with_a_bucket_the_api_serves_no_files(settings: Settings):
    app: FastAPI = create_app(settings.model_copy(update={"storage_bucket": "artifacts"}))

    assert "/files/{key:path}" not in {getattr(route, "path", None) for route in app.routes}


def test_the_document_has_the_version_of_the_project():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]

    assert project["version"] == VERSION
