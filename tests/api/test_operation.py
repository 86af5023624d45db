"""Beside the contract: health for load balancers, the reference, and the files of a local store."""

from __future__ import annotations

import html
import re
import time
import tomllib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel, SecretStr
from temporalio.client import Client

from activities.webhooks import PAUSES
from adapters.local_store import LocalStore
from api import guides, samples, schemas
from api.app import VERSION, create_app
from catalog.loader import load_catalog
from domain.generation import MediaType
from domain.planning import plan_generation
from domain.signature import sign_webhook
from domain.webhook_events import SUBSCRIBED_BY_DEFAULT
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


async def test_the_openapi_document_lists_every_route_with_its_errors(http: httpx.AsyncClient):
    document = (await http.get("/openapi.json")).json()

    assert {path for path in document["paths"] if path.startswith("/v1/")} == {
        "/v1/generate/image/{model_identifier}",
        "/v1/generate/video/{model_identifier}",
        "/v1/content/list",
        "/v1/content/{generation_id}",
        "/v1/content/generation/cancel/{generation_id}",
        "/v1/status",
        "/v1/health/inference/providers",
        "/v1/health/inference/models",
        "/v1/health/storage",
        "/v1/health/cache",
        "/v1/estimate/{model_identifier}",
        "/v1/library/models",
        "/v1/library/providers",
        "/v1/callbacks/{provider}/{token}",
    }
    create = document["paths"]["/v1/generate/image/{model_identifier}"]["post"]
    assert {"200", "400", "401", "402", "403", "404", "409", "413", "415", "422", "429", "500", "503"} <= set(
        create["responses"]
    )
    assert "BSE1004" in create["responses"]["402"]["description"]
    assert "New holds are refused for this account" in create["responses"]["403"]["description"]
    assert "a repeat might pay twice" in create["responses"]["503"]["description"]
    assert "concurrency_limit_exceeded" not in str(document), "documented, but never answered"
    assert "generation_prompt" in str(create["requestBody"])
    assert any(parameter["name"] == "Idempotency-Key" for parameter in create["parameters"])
    assert "HTTPValidationError" not in str(document)


async def test_every_route_with_a_key_says_so_in_the_document(http: httpx.AsyncClient):
    document = (await http.get("/openapi.json")).json()

    open_routes = {
        path
        for path, operations in document["paths"].items()
        for operation in operations.values()
        if not operation.get("security")
    }
    assert open_routes == {"/livez", "/readyz", "/v1/callbacks/{provider}/{token}"}


async def test_every_reference_in_the_document_leads_somewhere(http: httpx.AsyncClient):
    document = (await http.get("/openapi.json")).json()

    named = set(re.findall(r"#/components/schemas/([^'\"]+)", str(document)))
    assert named <= set(document["components"]["schemas"])


async def test_the_reference_page_loads_nothing_from_elsewhere(http: httpx.AsyncClient):
    response = await http.get("/docs")

    assert response.status_code == 200
    assert "/v1/generate/image/{model_identifier}" in response.text
    assert "generation_prompt" in response.text
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", response.text)
    assert "<script" not in response.text
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")


async def test_the_reference_page_shows_a_request_to_paste_and_its_answer(http: httpx.AsyncClient, settings: Settings):
    page = html.unescape((await http.get("/docs")).text)

    assert f"Base URL: <code>{settings.public_url}</code>" in page
    assert "babysea keys create" in page
    assert f"curl -s -X POST {settings.public_url}/v1/generate/image/{samples.IMAGE_MODEL} " in page
    assert f"curl -s -X POST {settings.public_url}/v1/generate/video/{samples.VIDEO_MODEL} " in page
    assert f"curl -s -X GET {settings.public_url}/v1/content/{samples.IMAGE_ID} " in page
    assert f"curl -s -X DELETE {settings.public_url}/v1/content/{samples.IMAGE_ID} " in page
    assert f"curl -s -X GET {settings.public_url}/admin/v1/accounts/ACCOUNT_ID/keys " in page
    assert "Bearer $BABYSEA_OPERATOR_KEY" in page


@pytest.mark.parametrize(
    ("sample", "model"),
    [
        (samples.IMAGE_ACCEPTED, schemas.Success[schemas.GenerationAccepted]),
        (samples.VIDEO_ACCEPTED, schemas.Success[schemas.GenerationAccepted]),
        (samples.FINISHED, schemas.Success[schemas.Generation]),
        (samples.LISTED, schemas.Page[schemas.GenerationList]),
        (samples.CANCELED, schemas.Success[schemas.GenerationCanceled]),
        (samples.DELETED, schemas.Success[schemas.GenerationDeleted]),
    ],
)
def test_a_sample_answer_is_one_that_the_contract_allows(sample: dict[str, object], model: type[BaseModel]):
    assert model.model_validate(sample).model_dump(mode="json", exclude_unset=True) == sample


@pytest.mark.parametrize(
    ("identifier", "media_type", "body"),
    [
        (samples.IMAGE_MODEL, MediaType.IMAGE, samples.IMAGE_BODY),
        (samples.VIDEO_MODEL, MediaType.VIDEO, samples.VIDEO_BODY),
    ],
)
def test_a_sample_request_is_one_that_the_library_takes(
    identifier: str, media_type: MediaType, body: dict[str, object]
):
    planned = plan_generation(
        load_catalog(),
        account_id=samples.ACCOUNT_ID,
        api_key_id=None,
        region="us",
        model_identifier=identifier,
        media_type=media_type,
        body=body,
        available_providers={"replicate", "fal"},
        generation_id=samples.IMAGE_ID,
        admit_by=0,
        deadlines={media_type: 60},
    )

    assert body.items() <= planned.params.items()


async def test_the_reference_page_explains_webhooks(http: httpx.AsyncClient):
    page = html.unescape((await http.get("/docs")).text)

    for event in SUBSCRIBED_BY_DEFAULT:
        assert event in page
    assert "X-BabySea-Signature: t=" in page
    assert guides.VERIFY_SNIPPET in page


def test_the_reference_tells_the_schedule_that_is_kept():
    pauses = ["0", *(f"{pause.total_seconds():g}" for pause in PAUSES)]

    assert re.findall(r"[\d.]+", guides.RETRY_SCHEDULE) == pauses


@pytest.mark.parametrize(
    ("header", "genuine"),
    [
        pytest.param(lambda now: sign_webhook("whsec_s", b"{}", now), True, id="ours"),
        pytest.param(lambda now: sign_webhook("whsec_s", b"{}", now - 301), False, id="too old"),
        pytest.param(lambda now: sign_webhook("whsec_s", b"{}", now + 310), False, id="from the future"),
        pytest.param(lambda now: sign_webhook("s", b"{}", now), False, id="the secret without its prefix"),
        pytest.param(lambda now: sign_webhook("whsec_s", b"[]", now), False, id="another body"),
        pytest.param(lambda now: "t=,v1=", False, id="nothing"),
        pytest.param(lambda now: "no signature", False, id="nonsense"),
    ],
)
def test_the_verification_that_the_reference_shows_works(header: Callable[[int], str], genuine: bool):
    shown: dict[str, Any] = {}
    exec(guides.VERIFY_SNIPPET, shown)

    assert shown["is_from_babysea"]("whsec_s", header(int(time.time())), b"{}") is genuine


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
