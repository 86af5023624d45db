from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from sandbox.replicate import credentials as replicate_credentials
from tests.support.sandbox import running_sandbox
from tests.support.submits import SCHNELL, ended, predict

SDXL = "stability-ai/sdxl"
SDXL_VERSION = "7762fd07cf82c948538e41f63f77d685e02b063e37e496e96eefd46c929f9bdc"


async def test_a_submit_answers_with_a_starting_prediction(replicate, prompt):
    answer = await predict(replicate, prompt())

    body = answer.json()
    assert answer.status_code == 201
    assert (body["status"], body["version"], body["output"], body["error"]) == ("starting", "hidden", None, None)
    assert len(body["id"]) == 26
    assert body["id"].isalnum()
    assert body["urls"]["get"].startswith(str(replicate.base_url))
    assert "webhook" not in body


async def test_a_prediction_succeeds_with_a_list_of_files(replicate, prompt):
    created = (await predict(replicate, prompt(), input={"num_outputs": 2})).json()

    done = await ended(replicate, created)

    assert done["status"] == "succeeded"
    assert [url.rsplit("/", 1)[1] for url in done["output"]] == ["out-0.webp", "out-1.webp"]
    assert done["metrics"]["image_count"] == 2
    assert done["completed_at"].endswith("Z")


async def test_some_models_answer_with_a_single_url(replicate, prompt):
    created = (await predict(replicate, prompt(), "google/imagen-4")).json()

    assert (await ended(replicate, created))["output"].endswith("out-0.jpg")


async def test_states_follow_the_clock(replicate, prompt):
    created = (await predict(replicate, prompt("replicate=latency_1"))).json()

    seen = [created["status"]]
    while seen[-1] != "succeeded":
        status = (await replicate.get(created["urls"]["get"])).json()["status"]
        if status != seen[-1]:
            seen.append(status)
        await asyncio.sleep(0.02)

    assert seen == ["starting", "processing", "succeeded"]


@pytest.mark.parametrize("authorization", [None, "Bearer r8_other", "Key 1:2"])
async def test_a_wrong_token_is_unauthenticated(sandbox, authorization):
    headers = {"authorization": authorization} if authorization else {}
    async with httpx.AsyncClient(base_url=sandbox.replicate_url, headers=headers) as http:
        answer = await http.get("/account")

    assert answer.status_code == 401
    assert answer.json() == {
        "title": "Unauthenticated",
        "detail": "You did not pass a valid authentication token",
        "status": 401,
    }


async def test_the_older_spelling_of_the_scheme_is_accepted(replicate):
    token = replicate.headers["authorization"].removeprefix("Bearer ")

    answer = await replicate.get("/account", headers={"authorization": f"Token {token}"})

    assert answer.json()["type"] == "organization"


async def test_an_unknown_prediction_is_not_found(replicate):
    for answer in (await replicate.get("/predictions/nobody"), await replicate.post("/predictions/nobody/cancel")):
        assert answer.status_code == 404
        assert answer.json() == {"detail": "The requested resource could not be found.", "status": 404}


async def test_a_missing_prompt_is_refused(replicate):
    answer = await replicate.post(f"/models/{SCHNELL}/predictions", json={"input": {}})

    assert answer.status_code == 422
    assert answer.json() == {
        "detail": "- input: prompt is required\n",
        "status": 422,
        "title": "Input validation failed",
        "invalid_fields": [{"type": "required", "field": "input", "description": "prompt is required"}],
    }


@pytest.mark.parametrize(
    ("given", "kind", "field"),
    [
        ({"image_size": "square"}, "additional_property_not_allowed", "input"),
        ({"aspect_ratio": "7:1"}, "enum", "input.aspect_ratio"),
        ({"aspect_ratio": 1}, "invalid_type", "input.aspect_ratio"),
        ({"num_outputs": 5}, "number_lte", "input.num_outputs"),
        ({"num_outputs": 0}, "number_gte", "input.num_outputs"),
        ({"num_outputs": True}, "invalid_type", "input.num_outputs"),
        ({"seed": "1"}, "invalid_type", "input.seed"),
        ({"output_format": "jpeg"}, "enum", "input.output_format"),
    ],
)
async def test_a_wrong_parameter_is_refused_by_name(replicate, prompt, given, kind, field):
    answer = await predict(replicate, prompt(), input=given)

    assert answer.status_code == 422
    assert [(found["type"], found["field"]) for found in answer.json()["invalid_fields"]] == [(kind, field)]


@pytest.mark.parametrize(
    ("model", "given", "kind"),
    [
        ("bytedance/seedream-4", {"image_input": ["https://x/1.png"] * 11}, "array_max_items"),
        ("google/nano-banana", {"image_input": ["not a url"]}, "invalid_type"),
        ("google/nano-banana", {"image_input": "https://x/1.png"}, "invalid_type"),
        ("google/nano-banana", {"image_urls": ["https://x/1.png"]}, "additional_property_not_allowed"),
        ("black-forest-labs/flux-kontext-pro", {"input_image": ["https://x/1.png"]}, "invalid_type"),
        ("kwaivgi/kling-v2.5-turbo-pro", {"start_image": "cat.png"}, "invalid_type"),
        ("kwaivgi/kling-v2.5-turbo-pro", {"tail_image_url": "https://x/1.png"}, "additional_property_not_allowed"),
        ("black-forest-labs/flux-dev", {"image": "cat.png"}, "invalid_type"),
        ("black-forest-labs/flux-1.1-pro", {"aspect_ratio": "custom", "width": 1000, "height": 1024}, "multiple_of"),
        ("bytedance/seedance-1-pro", {"duration": "5"}, "invalid_type"),
        ("google/veo-3.1-fast", {"duration": 5}, "enum"),
    ],
)
async def test_the_rules_differ_by_model(replicate, prompt, model, given, kind):
    answer = await predict(replicate, prompt(), model, input=given)

    assert [found["type"] for found in answer.json()["invalid_fields"]] == [kind]


async def test_an_unknown_model_takes_any_input(replicate, prompt):
    answer = await predict(replicate, prompt(), "nobody/knows-this", input={"anything": [1, 2]})

    assert (await ended(replicate, answer.json()))["status"] == "succeeded"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"colour": "red"}, ""),
        ({"version": "x"}, ""),
        ({"input": "text"}, "input"),
        ({"webhook": "ftp://example.net"}, "webhook"),
        ({"webhook_events_filter": ["finished"]}, "webhook_events_filter"),
        ({"webhook_events_filter": "start"}, "webhook_events_filter"),
    ],
)
async def test_the_top_level_of_a_submit_is_checked(replicate, prompt, change, field):
    body = {"input": {"prompt": prompt()}} | change

    answer = await replicate.post(f"/models/{SCHNELL}/predictions", json=body)

    assert answer.status_code == 422
    assert field in {found["field"] for found in answer.json()["invalid_fields"]}


async def test_a_body_that_is_not_json_is_refused(replicate):
    for content in (b"not json", b"[]"):
        assert (await replicate.post("/predictions", content=content)).status_code == 400


async def test_a_submit_without_a_version_or_input_is_refused(replicate):
    answer = await replicate.post("/predictions", json={})

    assert {found["description"] for found in answer.json()["invalid_fields"]} == {
        "input is required",
        "version is required",
    }


async def test_a_community_model_needs_the_versioned_path(replicate, prompt):
    answer = await predict(replicate, prompt(), SDXL)

    assert (answer.status_code, answer.json()["detail"]) == (404, "The requested resource could not be found.")


@pytest.mark.parametrize(
    ("version", "model", "shown"),
    [
        (SDXL_VERSION, SDXL, SDXL_VERSION),
        (f"{SDXL}:{SDXL_VERSION}", SDXL, SDXL_VERSION),
        (SCHNELL, SCHNELL, "hidden"),
        (f"nobody/knows-this:{'a' * 64}", "nobody/knows-this", "a" * 64),
    ],
)
async def test_a_version_names_the_model(replicate, prompt, version, model, shown):
    answer = await replicate.post("/predictions", json={"version": version, "input": {"prompt": prompt()}})

    assert answer.status_code == 201
    assert (answer.json()["model"], answer.json()["version"]) == (model, shown)


@pytest.mark.parametrize(
    "version", ["latest", f"{SDXL}:latest", SDXL, f"{SCHNELL}:{SDXL_VERSION}", f"{SDXL}:{'a' * 64}", "b" * 64, 7, ""]
)
async def test_a_bad_version_is_refused(replicate, prompt, version):
    answer = await replicate.post("/predictions", json={"version": version, "input": {"prompt": prompt()}})

    assert (answer.status_code, answer.json()["title"]) == (422, "Invalid version or not permitted")


async def test_a_deployment_is_named_in_the_prediction(replicate, prompt):
    answer = await replicate.post("/deployments/acme/fast-flux/predictions", json={"input": {"prompt": prompt()}})

    assert (answer.status_code, answer.json()["deployment"]) == (201, "acme/fast-flux")


# waiting


async def test_prefer_wait_holds_the_answer_until_the_end(replicate, prompt):
    began = time.monotonic()

    answer = await predict(replicate, prompt("replicate=latency_0.6"), headers={"Prefer": "wait"})

    assert (answer.status_code, answer.json()["status"]) == (201, "succeeded")
    assert time.monotonic() - began >= 0.55


async def test_a_wait_that_runs_out_leaves_the_job_alive(replicate, prompt):
    answer = await predict(replicate, prompt("replicate=latency_1.6"), headers={"Prefer": "wait=1"})

    assert answer.json()["status"] == "processing"
    assert (await ended(replicate, answer.json()))["status"] == "succeeded"


@pytest.mark.parametrize("prefer", ["wait=0", "wait=61", "respond-async"])
async def test_a_malformed_wait_is_refused(replicate, prompt, prefer):
    assert (await predict(replicate, prompt(), headers={"Prefer": prefer})).status_code == 400


# cancel and deadline


async def test_a_running_prediction_is_soon_canceled(replicate, prompt):
    created = (await predict(replicate, prompt("replicate=never_ends"))).json()

    answer = await replicate.post(created["urls"]["cancel"])

    assert (answer.status_code, answer.json()["status"]) == (200, "processing")
    assert (await ended(replicate, created))["status"] == "canceled"


async def test_a_queued_prediction_is_canceled_at_once(replicate, prompt):
    created = (await predict(replicate, prompt("replicate=never_starts"))).json()

    assert (await replicate.post(created["urls"]["cancel"])).json()["status"] == "canceled"


async def test_canceling_a_finished_prediction_changes_nothing(replicate, prompt):
    created = (await predict(replicate, prompt())).json()
    done = await ended(replicate, created)

    answer = await replicate.post(created["urls"]["cancel"])

    assert (answer.status_code, answer.json()) == (200, done)


@pytest.mark.parametrize("value", ["4s", "soon", "", "3"])
async def test_a_deadline_is_at_least_five_seconds(replicate, prompt, value):
    assert (await predict(replicate, prompt(), headers={"Cancel-After": value})).status_code == 400


async def test_a_deadline_aborts_what_has_not_started_and_cancels_what_runs(replicate, prompt):
    headers = {"Cancel-After": "5s"}
    queued = (await predict(replicate, prompt("replicate=never_starts"), headers=headers)).json()
    running = (await predict(replicate, prompt("replicate=never_ends"), headers=headers)).json()

    assert queued["deadline"] > queued["created_at"]
    assert (await ended(replicate, queued))["status"] == "aborted"
    assert (await ended(replicate, running))["status"] == "canceled"


# lists, files, models


async def test_the_list_is_newest_first_and_pages_by_cursor():
    async with running_sandbox() as sandbox:
        headers = {"authorization": f"Bearer {replicate_credentials.API_TOKEN}"}
        async with httpx.AsyncClient(base_url=sandbox.replicate_url, headers=headers) as http:
            made = [(await predict(http, f"number {number}")).json() for number in range(103)]

            first = (await http.get("/predictions")).json()
            second = (await http.get(first["next"])).json()
            early = (await http.get("/predictions", params={"created_before": made[2]["created_at"]})).json()
            late = (await http.get("/predictions", params={"created_after": made[100]["created_at"]})).json()
            wrong = [await http.get("/predictions", params={name: "x"}) for name in ("cursor", "created_after")]

    ids = [prediction["id"] for prediction in first["results"] + second["results"]]
    assert ids == [prediction["id"] for prediction in reversed(made)]
    assert (len(first["results"]), second["next"]) == (100, None)
    assert first["results"][0]["input"] == {"prompt": "number 102"}
    assert [prediction["id"] for prediction in early["results"]] == [made[1]["id"], made[0]["id"]]
    assert [prediction["id"] for prediction in late["results"]] == [made[n]["id"] for n in (102, 101, 100)]
    assert [answer.status_code for answer in wrong] == [400, 400]


async def test_an_uploaded_file_can_be_read_listed_and_removed(replicate):
    uploaded = await replicate.post("/files", files={"content": ("cat.png", b"bytes", "image/png")})
    page = uploaded.json()

    read = await replicate.get(page["urls"]["get"])
    listed = (await replicate.get("/files")).json()["results"]
    removed = await replicate.delete(page["urls"]["get"])

    assert uploaded.status_code == 201
    assert (page["name"], page["content_type"], page["size"]) == ("cat.png", "image/png", 5)
    assert read.json() == page
    assert page in listed
    assert removed.status_code == 204
    assert (await replicate.get(page["urls"]["get"])).status_code == 404
    assert (await replicate.delete(page["urls"]["get"])).status_code == 404
    assert (await replicate.post("/files", data={"other": "x"})).status_code == 400


async def test_a_model_names_its_version_and_its_parameters(replicate):
    model = (await replicate.get(f"/models/{SCHNELL}")).json()
    version = model["latest_version"]["id"]

    page = (await replicate.get(f"/models/{SCHNELL}/versions/{version}")).json()

    assert page == model["latest_version"]
    assert page["openapi_schema"]["components"]["schemas"]["Input"]["required"] == ["prompt"]
    assert (await replicate.get("/models/nobody/knows-this")).status_code == 404
    assert (await replicate.get(f"/models/{SCHNELL}/versions/{'0' * 64}")).status_code == 404


async def test_everything_of_a_prediction_is_removed_after_retention():
    headers = {"authorization": f"Bearer {replicate_credentials.API_TOKEN}"}
    async with (
        running_sandbox(options=("--retention", "2")) as sandbox,
        httpx.AsyncClient(base_url=sandbox.replicate_url, headers=headers) as http,
    ):
        created = (await predict(http, "a cat")).json()
        fresh = await ended(http, created)
        kept = await http.get(fresh["output"][0])
        old = await removed(http, created)
        gone = await http.get(fresh["output"][0])

    assert kept.status_code == 200
    assert (old["status"], old["output"], old["input"]) == ("succeeded", None, {})
    assert gone.status_code == 404


async def removed(http, prediction):
    for _ in range(100):
        seen = (await http.get(prediction["urls"]["get"])).json()
        if seen["data_removed"]:
            return seen
        await asyncio.sleep(0.1)
    raise TimeoutError("the data was not removed")
