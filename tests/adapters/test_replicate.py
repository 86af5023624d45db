import base64
import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.providers import replicate
from adapters.providers.replicate import ReplicateProvider, to_job, to_wire
from adapters.providers.standard_webhooks import key_of, verified_event
from domain.errors import (
    CallbackRefused,
    ContentRefused,
    JobNotFound,
    ProviderAuthFailed,
    ProviderBusy,
    ProviderCreditsExhausted,
    ProviderFailed,
    ProviderInvalidOutput,
    ProviderRejectedInput,
    ProviderTimedOut,
    ProviderUnavailable,
    SubmitAmbiguous,
)
from domain.generation import JobRef
from domain.provider import JobState, Output
from tests.support.providers import DATA, EDGE_PAGE, Recorder, a_submission, answer

BASE = "https://api.replicate.example/v1"
ID = "h7k2m9qx5drmc0cvt3w8y4n6pa"
URL = "https://replicate.delivery/xezq/Qw3rTy9kLmNpZx0aBcDeFgHi/out-0.webp"
SUBMITTED = datetime(2026, 11, 18, 9, 14, 2, tzinfo=UTC)


def a_prediction(**changes):
    return {
        "id": ID,
        "model": "black-forest-labs/flux-schnell",
        "version": "hidden",
        "input": dict(a_submission().native_input),
        "logs": "",
        "output": None,
        "data_removed": False,
        "error": None,
        "source": "api",
        "status": "starting",
        "created_at": "2026-11-18T09:14:02.120Z",
        "urls": {"cancel": f"{BASE}/predictions/{ID}/cancel", "get": f"{BASE}/predictions/{ID}"},
    } | changes


def provider(recorder: Recorder, **options) -> ReplicateProvider:
    http = replicate.client(BASE, "r8_fake\n", timedelta(seconds=10))
    http._transport = httpx.MockTransport(recorder)
    return ReplicateProvider(http, **{"webhook_secret": None} | options)


# --- submit -------------------------------------------------------------------------------------------------------


async def test_a_submit_is_one_post_with_callback_and_deadline():
    recorder = Recorder(answer(201, a_prediction()))

    job = await provider(recorder).submit(a_submission())

    assert (job.ref, job.state) == (JobRef(ID), JobState.QUEUED)
    assert (recorder.last.method, str(recorder.last.url)) == (
        "POST",
        f"{BASE}/models/black-forest-labs/flux-schnell/predictions",
    )
    assert recorder.last.headers["authorization"] == "Bearer r8_fake"
    assert recorder.last.headers["cancel-after"] == "600s"
    assert recorder.last_json == {
        "input": dict(a_submission().native_input),
        "webhook": a_submission().callback_url,
        "webhook_events_filter": ["completed"],
    }


def test_a_model_with_a_pinned_version_goes_to_the_other_path():
    path, body = to_wire(a_submission(native_model="stability-ai/sdxl:" + "7" * 64, callback_url=None))

    assert path == "/predictions"
    assert body == {"version": "7" * 64, "input": dict(a_submission().native_input)}


async def test_a_deadline_below_the_minimum_is_raised_to_it():
    recorder = Recorder(answer(201, a_prediction()))

    await provider(recorder).submit(a_submission(deadline=timedelta(seconds=1)))

    assert recorder.last.headers["cancel-after"] == "5s"


PROBLEM = {"title": "A title", "detail": "A text with the customer's words", "status": 0}


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, ProviderRejectedInput),
        (401, ProviderAuthFailed),
        (402, ProviderCreditsExhausted),
        (403, ProviderAuthFailed),
        (404, ProviderRejectedInput),
        (405, ProviderRejectedInput),
        (422, ProviderRejectedInput),
        (429, ProviderBusy),
        (500, ProviderFailed),
        (503, ProviderUnavailable),
        (307, ProviderFailed),
    ],
)
async def test_an_explicit_refusal_of_a_submit_is_named_and_shows_nothing_of_its_text(status, error):
    recorder = Recorder(answer(status, PROBLEM | {"status": status}, location="https://elsewhere.example/"))

    with pytest.raises(error) as refused:
        await provider(recorder).submit(a_submission())

    assert type(refused.value) is error
    assert "customer" not in f"{refused.value} {refused.value.details}"
    assert len(recorder.requests) == 1


@pytest.mark.parametrize("status", [502, 504])
async def test_a_gateway_that_lost_the_answer_is_ambiguous_whatever_its_body(status):
    with pytest.raises(SubmitAmbiguous):
        await provider(Recorder(answer(status, PROBLEM))).submit(a_submission())


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_page_of_the_edge_leaves_a_submit_ambiguous(status):
    recorder = Recorder(answer(status, EDGE_PAGE))

    with pytest.raises(SubmitAmbiguous):
        await provider(recorder).submit(a_submission())

    assert len(recorder.requests) == 1


@pytest.mark.parametrize("body", [{}, {"id": 7}, [], "created"])
async def test_an_acceptance_without_an_id_is_ambiguous(body):
    with pytest.raises(SubmitAmbiguous):
        await provider(Recorder(answer(201, body))).submit(a_submission())


@pytest.mark.parametrize(
    ("loss", "error"),
    [(httpx.ConnectError("dns"), ProviderUnavailable), (httpx.ReadTimeout("slow"), SubmitAmbiguous)],
)
async def test_a_lost_submit_is_never_repeated(loss, error):
    recorder = Recorder(loss)

    with pytest.raises(error):
        await provider(recorder).submit(a_submission())

    assert len(recorder.requests) == 1


@pytest.mark.parametrize(
    ("headers", "body", "pause"),
    [
        ({"retry_after": "7"}, PROBLEM, timedelta(seconds=7)),
        ({}, PROBLEM | {"retry_after": 9}, timedelta(seconds=9)),
        ({}, PROBLEM | {"retry_after": 10**9}, timedelta(hours=1)),
        ({}, PROBLEM, None),
    ],
)
async def test_a_throttled_submit_says_when_to_come_back(headers, body, pause):
    with pytest.raises(ProviderBusy) as busy:
        await provider(Recorder(answer(429, body, **headers))).submit(a_submission())

    assert busy.value.retry_after == pause


async def test_refused_parameters_are_named_without_their_values():
    invalid = [
        {"type": "required", "field": "input.width", "description": "width: 9999 is too much"},
        {"field": "a prompt that slipped in here"},
        "odd",
    ]

    with pytest.raises(ProviderRejectedInput) as refused:
        await provider(Recorder(answer(422, PROBLEM | {"invalid_fields": invalid}))).submit(a_submission())

    assert refused.value.details == {"fields": ["input.width"]}


async def test_a_job_refused_by_moderation_at_submit_is_refused():
    failed = a_prediction(status="failed", error="The input or output was flagged as sensitive. (E005)")

    with pytest.raises(ContentRefused):
        await provider(Recorder(answer(201, failed))).submit(a_submission())


# --- read ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("starting", JobState.QUEUED),
        ("processing", JobState.RUNNING),
        ("canceled", JobState.CANCELED),
        ("a status of tomorrow", JobState.RUNNING),
        (None, JobState.RUNNING),
    ],
)
def test_the_states_of_a_prediction_are_ours(status, state):
    assert to_job(a_prediction(status=status)).state is state


@pytest.mark.parametrize("output", [URL, [URL]])
async def test_outputs_come_as_a_text_or_a_list(output):
    done = a_prediction(status="succeeded", output=output, metrics={"predict_time": 0.801653})
    recorder = Recorder(answer(200, done))

    job = await provider(recorder).read(JobRef(ID))

    assert str(recorder.last.url) == f"{BASE}/predictions/{ID}"
    assert (job.state, job.outputs, job.predict_time_s) == (JobState.SUCCEEDED, (Output(URL),), 0.801653)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"{BASE}/files/ZTM2MDM0/download", True),
        (URL, False),
        ("https://api.replicate.example.evil.example/v1/files/ZTM2MDM0", False),
        (f"{BASE}@evil.example/files/ZTM2MDM0", False),
        (BASE.replace("https", "http") + "/files/ZTM2MDM0", False),
    ],
)
async def test_the_credential_goes_along_to_files_of_the_api_and_nowhere_else(url, shown):
    asked = provider(Recorder(answer(200, a_prediction(status="succeeded", output=url))))

    (output,) = (await asked.read(JobRef(ID))).outputs

    assert output.headers == ({"Authorization": "Bearer r8_fake"} if shown else {})


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        pytest.param({"output": None}, ContentRefused, id="nothing left after filtering"),
        pytest.param({"output": []}, ContentRefused, id="an empty list"),
        pytest.param({"output": [None]}, ProviderInvalidOutput, id="not a text"),
        pytest.param({"output": {"file": URL}}, ProviderInvalidOutput, id="an object"),
        pytest.param({"output": None, "data_removed": True}, ProviderInvalidOutput, id="deleted after an hour"),
    ],
)
def test_a_success_without_usable_outputs_fails(changes, error):
    with pytest.raises(error):
        to_job(a_prediction(status="succeeded", **changes))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("The input or output was flagged as sensitive. Please try again. (E005)", ContentRefused),
        ("Content flagged for: sexual", ContentRefused),
        ("NSFW content detected. Try running it again.", ContentRefused),
        ("Input text is sensitive, please change it", ContentRefused),
        ("Could not fetch 8f3a1b2c-e005-4d0e-9a3e-6f2a1d9c0e11", ProviderFailed),
        ("Upload of 9be005 failed", ProviderFailed),
        ("Director: unexpected error handling prediction (E6716)", ProviderTimedOut),
        ("Prediction failed. (E1000)", ProviderFailed),
        ("Prediction ran out of memory (E1001)", ProviderFailed),
        ("CUDA out of memory. Tried to allocate 2 GiB", ProviderFailed),
        ("Webhook URL is empty (E4875)", ProviderRejectedInput),
        ("Prediction interrupted; please retry (code: PA)", ProviderFailed),
        ("something a customer wrote", ProviderFailed),
        (None, ProviderFailed),
    ],
)
def test_the_text_of_a_failed_job_decides_whose_fault_it_is_and_is_not_shown(text, error):
    with pytest.raises(error) as failure:
        to_job(a_prediction(status="failed", error=text))

    assert type(failure.value) is error
    assert "customer wrote" not in str(failure.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "aborted"},
        {"status": "canceled", "deadline": "2026-11-18T09:24:02Z", "completed_at": "2026-11-18T09:24:02.4Z"},
    ],
)
def test_a_deadline_that_passed_is_a_timeout_and_not_a_cancel(changes):
    with pytest.raises(ProviderTimedOut):
        to_job(a_prediction(**changes))


def test_a_cancel_before_the_deadline_is_a_cancel():
    canceled = {"deadline": "2026-11-18T09:24:02Z", "completed_at": "2026-11-18T09:15:02Z", "status": "canceled"}

    assert to_job(a_prediction(**canceled)).state is JobState.CANCELED


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (answer(404, {"detail": "The requested resource could not be found.", "status": 404}), JobNotFound),
        (answer(401, PROBLEM), ProviderAuthFailed),
        (answer(429, PROBLEM), ProviderBusy),
        (answer(500, PROBLEM), ProviderUnavailable),
        (answer(502, EDGE_PAGE), ProviderUnavailable),
        (answer(200, "not json"), ProviderUnavailable),
        (answer(200, {}), ProviderUnavailable),
        (httpx.ReadTimeout("slow"), ProviderUnavailable),
    ],
)
async def test_a_look_that_did_not_work_is_not_a_failed_job(reply, error):
    with pytest.raises(error):
        await provider(Recorder(reply)).read(JobRef(ID))


async def test_an_id_that_is_no_id_is_not_put_into_a_path():
    recorder = Recorder()

    with pytest.raises(JobNotFound):
        await provider(recorder).read(JobRef("../../account"))


# --- cancel -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (answer(200, a_prediction(status="processing")), True),
        (answer(404, PROBLEM), False),
        (answer(422, PROBLEM), False),
    ],
)
async def test_a_cancel_is_told_once(reply, told):
    recorder = Recorder(reply)

    assert await provider(recorder).cancel(JobRef(ID)) is told
    assert (recorder.last.method, recorder.last.url.path) == ("POST", f"/v1/predictions/{ID}/cancel")


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (answer(401, PROBLEM), ProviderAuthFailed),
        (answer(503, EDGE_PAGE), ProviderUnavailable),
        (httpx.ReadError("reset"), ProviderUnavailable),
    ],
)
async def test_a_cancel_that_did_not_arrive_can_be_repeated(reply, error):
    with pytest.raises(error):
        await provider(Recorder(reply)).cancel(JobRef(ID))


# --- find ---------------------------------------------------------------------------------------------------------


def a_page(*predictions, following=None):
    return answer(200, {"previous": None, "next": following, "results": list(predictions)})


async def test_a_lost_job_is_found_by_model_input_and_time():
    recorder = Recorder(
        a_page(
            a_prediction(id="other-model", model="black-forest-labs/flux-dev"),
            a_prediction(id="other-input", input={"prompt": "another"}),
            a_prediction(id="data-removed", input=None),
            a_prediction(id="lost"),
            a_prediction(id="too-old", created_at="2026-11-18T09:13:56Z"),
            a_prediction(id="timeless", created_at=None),
        )
    )

    assert await provider(recorder).find(a_submission(), SUBMITTED) == [JobRef("lost")]
    assert str(recorder.last.url) == f"{BASE}/predictions"


async def test_equal_jobs_are_listed_nearest_to_the_submit_first():
    page = a_page(
        a_prediction(id="later", created_at="2026-11-18T09:14:09Z"),
        a_prediction(id="nearest", created_at="2026-11-18T09:14:02.3Z"),
        a_prediction(id="before", created_at="2026-11-18T09:13:59Z"),
    )

    assert await provider(Recorder(page)).find(a_submission(), SUBMITTED) == [
        JobRef(name) for name in ("nearest", "before", "later")
    ]


async def test_a_page_of_another_form_holds_nothing():
    assert await provider(Recorder(answer(200, {"results": 7}))).find(a_submission(), SUBMITTED) == []


async def test_pages_are_read_until_they_are_older_than_the_submit():
    unlike = a_prediction(input={}, created_at="2026-11-18T09:14:20Z")
    recorder = Recorder(
        a_page(unlike, following=f"{BASE}/predictions?cursor=2"),
        a_page(a_prediction(id="lost"), following=f"{BASE}/predictions?cursor=3"),
        a_page(a_prediction(id="ancient", created_at="2026-11-18T08:00:00Z"), following=f"{BASE}/predictions?cursor=4"),
    )

    assert await provider(recorder).find(a_submission(), SUBMITTED) == [JobRef("lost")]
    assert [request.url.params.get("cursor") for request in recorder.requests] == [None, "2", "3"]


async def test_reading_pages_has_an_end():
    unlike = a_prediction(input={}, created_at="2026-11-18T09:14:20Z")
    recorder = Recorder(*[a_page(unlike, following=f"{BASE}/predictions?cursor=x") for _ in range(20)])

    assert await provider(recorder).find(a_submission(), SUBMITTED) == []
    assert len(recorder.requests) == replicate.PAGES_MAX


async def test_a_next_page_elsewhere_does_not_get_our_credential():
    recorder = Recorder(a_page(a_prediction(input={}), following="https://api.replicate.example.evil.example/v1/"))

    assert await provider(recorder).find(a_submission(), SUBMITTED) == []
    assert len(recorder.requests) == 1


async def test_nothing_is_found_in_an_empty_list():
    assert await provider(Recorder(a_page())).find(a_submission(), SUBMITTED) == []


async def test_a_pinned_version_must_match_as_well():
    submission = a_submission(native_model="stability-ai/sdxl:" + "7" * 64)
    page = a_page(
        a_prediction(id="other", model="stability-ai/sdxl", version="8" * 64),
        a_prediction(id="lost", model="stability-ai/sdxl", version="7" * 64),
    )

    assert await provider(Recorder(page)).find(submission, SUBMITTED) == [JobRef("lost")]


async def test_a_search_that_did_not_work_is_no_answer():
    with pytest.raises(ProviderUnavailable):
        await provider(Recorder(answer(500, PROBLEM))).find(a_submission(), SUBMITTED)


# --- callbacks ----------------------------------------------------------------------------------------------------

VECTORS = json.loads((DATA / "replicate_callbacks.json").read_text())["cases"]


async def verdict(case) -> str:
    headers = {name.lower(): value for name, value in case["headers"].items()}
    try:
        adapter = provider(Recorder(), webhook_secret=case["secret"], clock=lambda: case["now"])
        notice = await adapter.verify_callback(headers, base64.b64decode(case["body_b64"]))
    except (CallbackRefused, ValueError):  # a malformed secret is refused where the adapter is built
        return "invalid"
    assert notice.event_id == headers["webhook-id"]
    assert notice.job_id == ID
    return "valid"


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["name"])
async def test_the_signature_vectors_are_judged_as_written(case):
    assert await verdict(case) == case["expect"]


async def test_without_a_secret_every_callback_is_refused():
    case = VECTORS[0]

    with pytest.raises(CallbackRefused):
        await provider(Recorder(), clock=lambda: case["now"]).verify_callback(
            case["headers"], base64.b64decode(case["body_b64"])
        )


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_?", "AAAA", "whsec_AAA"])
def test_a_malformed_secret_stops_the_start(secret):
    with pytest.raises(ValueError, match="whsec_"):
        provider(Recorder(), webhook_secret=secret)


@given(
    st.dictionaries(st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature"]), st.text(max_size=60)),
    st.binary(max_size=60),
)
def test_random_callbacks_are_refused(headers, body):
    with pytest.raises(CallbackRefused):
        verified_event(key_of("whsec_AAAA", "Replicate"), headers, body, now=0)
