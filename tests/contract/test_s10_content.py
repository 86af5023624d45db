"""Sections 10.6 to 10.10: generations from the ask to the delete, member by member."""

from __future__ import annotations

import re
import uuid
from typing import Any

import httpx
import pytest
from temporalio.client import Client

from domain.errors import ContentRefused
from domain.generation import workflow_id
from tests.api.conftest import PROMPT, SCHNELL, Customer, NewCustomer, a_finished, a_running, generate
from tests.api.reading import error_of
from tests.support.staged_worker import StagedProvider

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
IMAGE = {
    "account_id",
    "generation_id",
    "model_identifier",
    "generation_provider_order",
    "generation_provider_used",
    "generation_prediction_id",
    "generation_status",
    "generation_prompt",
    "generation_ratio",
    "generation_output_format",
    "generation_output_number",
    "generation_input_file",
    "generation_output_file",
    "generation_created_at",
    "generation_started_at",
    "generation_completed_at",
    "generation_metrics_total_time",
    "generation_metrics_predict_time",
}
FAILURE = {"generation_error", "generation_error_code"}
VIDEO = "/v1/generate/video/pixverse/v5"


async def read(http: httpx.AsyncClient, customer: Customer, generation_id: str) -> dict[str, Any]:
    response = await http.get(f"/v1/content/{generation_id}", headers=customer.auth)
    assert response.status_code == 200, response.text
    data: dict[str, Any] = response.json()["data"]
    return data


# --- 10.6 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param(SCHNELL, {"generation_prompt": PROMPT}, id="an image"),
        pytest.param(VIDEO, {"generation_prompt": PROMPT, "generation_duration": 5}, id="a video"),
    ],
)
async def test_10_6_a_create_has_exactly_these_members(
    http: httpx.AsyncClient, customer: Customer, path: str, body: dict[str, Any]
):
    response = await http.post(path, headers=customer.auth, json=body)

    assert response.status_code == 200, response.text
    data = response.json()["data"]
    assert set(data) == {
        "model_identifier",
        "generation_provider_order",
        "generation_prediction_id",
        "generation_id",
        "generation_initialized",
    }
    assert data["generation_initialized"] is True
    assert str(uuid.UUID(data["generation_id"])) == data["generation_id"]
    assert sorted(data["generation_provider_order"]) == ["fal", "replicate"]


@pytest.mark.parametrize(
    ("order", "resolved"),
    [
        ("fal", ["fal"]),
        ("replicate", ["replicate"]),
        ("replicate, fal", ["replicate", "fal"]),
        ("fal,replicate", ["fal", "replicate"]),
        ("  fal ,  replicate ", ["fal", "replicate"]),
    ],
)
async def test_10_6_an_order_is_a_text_that_is_split_at_commas(
    http: httpx.AsyncClient, customer: Customer, order: str, resolved: list[str]
):
    response = await generate(http, customer, generation_provider_order=order)

    assert response.json()["data"]["generation_provider_order"] == resolved


@pytest.mark.parametrize("order", ["", ",", "fal,,replicate", "fal, fal", "openai", "Fal"])
async def test_10_6_an_order_that_is_not_allowed_is_refused(http: httpx.AsyncClient, customer: Customer, order: str):
    assert error_of(await generate(http, customer, generation_provider_order=order)) == (400, "BSE2012")


@pytest.mark.parametrize("order", [["fal"], None, 1])
async def test_10_6_an_order_is_no_list(http: httpx.AsyncClient, customer: Customer, order: object):
    assert error_of(await generate(http, customer, generation_provider_order=order)) == (400, "BSE2001")


@pytest.mark.parametrize("duration", [5, 5.0])
async def test_10_6_a_duration_may_be_a_float_of_whole_seconds(
    http: httpx.AsyncClient, customer: Customer, duration: float
):
    response = await http.post(
        VIDEO, headers=customer.auth, json={"generation_prompt": PROMPT, "generation_duration": duration}
    )

    data = await read(http, customer, response.json()["data"]["generation_id"])
    assert data["generation_duration"] == 5


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        pytest.param(SCHNELL, {"generation_prompt": "   "}, 400, "BSE2001", id="a blank prompt"),
        pytest.param(SCHNELL, {"generation_prompt": "a" * 4001}, 400, "BSE2001", id="a prompt of 4001 characters"),
        pytest.param(SCHNELL, {"generation_prompt": 5}, 400, "BSE2001", id="a prompt that is a number"),
        pytest.param(SCHNELL, {"generation_prompt": PROMPT, "generation_seed_": 1}, 400, "BSE2001", id="unknown"),
        pytest.param(VIDEO, {"generation_prompt": PROMPT}, 400, "BSE2001", id="a video without a duration"),
        pytest.param(
            VIDEO, {"generation_prompt": PROMPT, "generation_duration": 6.5}, 422, "BSE2008", id="half a second"
        ),
        pytest.param(
            SCHNELL, {"generation_prompt": PROMPT, "generation_output_number": 0}, 422, "BSE2008", id="no output"
        ),
        pytest.param(
            SCHNELL,
            {"generation_prompt": PROMPT, "generation_output_format": "mp4"},
            422,
            "BSE2008",
            id="a video format",
        ),
        pytest.param(
            "/v1/generate/video/bfl/flux-schnell",
            {"generation_prompt": PROMPT, "generation_duration": 5},
            400,
            "BSE2013",
            id="an image model as a video",
        ),
        pytest.param("/v1/generate/image/pixverse/v5", {"generation_prompt": PROMPT}, 400, "BSE2013", id="reverse"),
    ],
)
async def test_10_6_validation_is_strict(
    http: httpx.AsyncClient, customer: Customer, path: str, body: dict[str, Any], status: int, code: str
):
    assert error_of(await http.post(path, headers=customer.auth, json=body)) == (status, code)


async def test_10_6_a_prompt_of_4000_characters_is_taken(http: httpx.AsyncClient, customer: Customer):
    response = await generate(http, customer, generation_prompt=" " + "a" * 4000 + " ")

    data = await read(http, customer, response.json()["data"]["generation_id"])
    assert data["generation_prompt"].strip() == "a" * 4000


# --- 10.7 ---------------------------------------------------------------------------------------------------------


async def test_10_7_a_generation_that_has_not_ended_has_exactly_these_members(
    http: httpx.AsyncClient, customer: Customer, replicate: StagedProvider
):
    generation_id = await a_running(http, customer, replicate)

    data = await read(http, customer, generation_id)

    assert set(data) == IMAGE
    assert data["generation_provider_used"] is None
    assert data["generation_output_file"] is None
    assert data["generation_completed_at"] is None
    assert data["generation_metrics_total_time"] is None


async def test_10_7_a_success_has_exactly_these_members(
    http: httpx.AsyncClient, engine: Client, customer: Customer, replicate: StagedProvider
):
    generation_id = await a_finished(http, engine, customer, replicate)

    data = await read(http, customer, generation_id)

    assert set(data) == IMAGE
    assert (data["account_id"], data["generation_status"]) == (customer.account_id, "succeeded")
    assert data["generation_provider_used"] == "replicate"
    assert len(data["generation_output_file"]) == data["generation_output_number"] == 1
    for name in ("generation_created_at", "generation_started_at", "generation_completed_at"):
        assert TIMESTAMP.fullmatch(data[name])
    assert data["generation_created_at"] <= data["generation_started_at"] <= data["generation_completed_at"]


async def test_10_7_a_failure_has_its_error_and_no_files(
    http: httpx.AsyncClient, engine: Client, customer: Customer, replicate: StagedProvider
):
    replicate.refuse("refused for section 10.7", ContentRefused("A safety filter refused the prompt."))
    created = await generate(http, customer, generation_prompt="refused for section 10.7")
    generation_id = created.json()["data"]["generation_id"]
    await engine.get_workflow_handle(workflow_id(generation_id)).result()

    data = await read(http, customer, generation_id)

    assert set(data) == IMAGE | FAILURE
    assert data["generation_status"] == "failed"
    assert data["generation_error"] == "A safety filter refused the prompt."
    assert data["generation_error_code"] == "BSE2006"
    assert data["generation_output_file"] is None


async def test_10_7_a_canceled_one_has_no_error(http: httpx.AsyncClient, customer: Customer, replicate: StagedProvider):
    generation_id = await a_running(http, customer, replicate)
    await http.post(f"/v1/content/generation/cancel/{generation_id}", headers=customer.auth)

    data = await read(http, customer, generation_id)

    assert set(data) == IMAGE
    assert data["generation_status"] == "canceled"
    assert data["generation_output_file"] is None


async def test_10_7_a_video_echoes_its_own_parameters(http: httpx.AsyncClient, customer: Customer):
    created = await http.post(
        VIDEO, headers=customer.auth, json={"generation_prompt": PROMPT, "generation_duration": 5}
    )

    data = await read(http, customer, created.json()["data"]["generation_id"])

    assert set(data) >= IMAGE | {"generation_duration", "generation_resolution"}
    assert "generation_audio_mode" not in data  # pixverse/v5 is not priced by audio


async def test_10_7_audio_has_a_mode_where_it_has_a_price(http: httpx.AsyncClient, customer: Customer):
    models = (await http.get("/v1/library/models", headers=customer.auth)).json()["data"]["models"]
    priced = next(model for model in models if "generation_generate_audio" in model["schema"])
    body = {"generation_prompt": PROMPT, "generation_duration": priced["schema"]["generation_duration"][0]}

    modes = {}
    for audio in (True, False):
        created = await http.post(
            f"/v1/generate/video/{priced['model_identifier']}",
            headers=customer.auth,
            json=body | {"generation_generate_audio": audio},
        )
        data = await read(http, customer, created.json()["data"]["generation_id"])
        modes[data["generation_generate_audio"]] = data["generation_audio_mode"]

    assert modes == {True: "audio", False: "noaudio"}


async def test_10_7_the_order_of_the_members_is_the_published_one(
    http: httpx.AsyncClient, customer: Customer, replicate: StagedProvider
):
    generation_id = await a_running(http, customer, replicate)

    names = list(await read(http, customer, generation_id))

    assert names[:2] == ["account_id", "generation_id"]
    assert names.index("generation_prompt") < names.index("generation_output_file")
    assert names.index("generation_output_file") < names.index("generation_created_at")


# --- 10.8 ---------------------------------------------------------------------------------------------------------


async def test_10_8_an_item_of_the_list_is_what_a_read_answers(
    http: httpx.AsyncClient, new_customer: NewCustomer, replicate: StagedProvider
):
    customer = await new_customer()
    generation_id = await a_running(http, customer, replicate)
    await http.post(f"/v1/content/generation/cancel/{generation_id}", headers=customer.auth)

    body = (await http.get("/v1/content/list", headers=customer.auth)).json()

    assert body["data"] == {"generations": [await read(http, customer, generation_id)]}
    assert (body["total"], body["limit"], body["offset"]) == (1, 50, 0)


async def test_10_8_behind_the_end_there_is_an_empty_list(http: httpx.AsyncClient, new_customer: NewCustomer):
    customer = await new_customer()
    await generate(http, customer)

    body = (await http.get("/v1/content/list?offset=5", headers=customer.auth)).json()

    assert (body["total"], body["offset"], body["data"]["generations"]) == (1, 5, [])


# --- 10.9 and 10.10 -----------------------------------------------------------------------------------------------


async def test_10_9_a_cancel_has_exactly_these_members(
    http: httpx.AsyncClient, customer: Customer, replicate: StagedProvider
):
    generation_id = await a_running(http, customer, replicate)

    data = (await http.post(f"/v1/content/generation/cancel/{generation_id}", headers=customer.auth)).json()["data"]

    assert set(data) == {"generation_id", "generation_status", "provider_cancel_sent", "credits_refunded"}
    assert (data["generation_id"], data["generation_status"]) == (generation_id, "canceled")
    assert isinstance(data["provider_cancel_sent"], bool)
    assert data["credits_refunded"] is True


async def test_10_10_a_delete_has_exactly_these_members(
    http: httpx.AsyncClient, engine: Client, customer: Customer, replicate: StagedProvider
):
    generation_id = await a_finished(http, engine, customer, replicate)

    data = (await http.delete(f"/v1/content/{generation_id}", headers=customer.auth)).json()["data"]

    assert data == {"generation_id": generation_id, "files_deleted": 1}


async def test_10_10_a_canceled_generation_has_no_files_to_delete(
    http: httpx.AsyncClient, customer: Customer, replicate: StagedProvider
):
    generation_id = await a_running(http, customer, replicate)
    await http.post(f"/v1/content/generation/cancel/{generation_id}", headers=customer.auth)

    data = (await http.delete(f"/v1/content/{generation_id}", headers=customer.auth)).json()["data"]

    assert data == {"generation_id": generation_id, "files_deleted": 0}


@pytest.mark.parametrize("form", [str.upper, lambda text: text.replace("-", "")])
async def test_10_an_id_in_another_spelling_is_no_other_generation(
    http: httpx.AsyncClient, customer: Customer, replicate: StagedProvider, form: Any
):
    generation_id = await a_running(http, customer, replicate)

    response = await http.get(f"/v1/content/{form(generation_id)}", headers=customer.auth)

    assert response.status_code == 404 or response.json()["data"]["generation_id"] == generation_id
