"""Each fault word does what it says, at both providers."""

from __future__ import annotations

import asyncio
import socket
import struct

import httpx
import pytest

from sandbox.faults import WORDS, FaultPlan, UnknownFaultError, checked, directed, plan
from tests.support.submits import completed, ended, predict, queue

# the words


def test_a_directive_addresses_one_provider():
    text = "a cat [sandbox:replicate=latency_0.5,duplicate_callback; fal=job_failed] in a hat [sandbox:fal=poll_500_2]"

    assert directed(text, "replicate") == ["latency_0.5", "duplicate_callback"]
    assert directed(text, "fal") == ["job_failed", "poll_500_2"]
    assert directed("no directive", "fal") == []


@pytest.mark.parametrize("word", ["nonsense", "latency", "latency_x", "submit_429_retry", "job_failed_2", "", "xx1"])
def test_an_unknown_word_is_not_overlooked(word):
    with pytest.raises(UnknownFaultError):
        checked([word])
    with pytest.raises(UnknownFaultError):
        directed(f"[sandbox:fal={word}]", "replicate")


@pytest.mark.parametrize("directive", ["[sandbox:midjourney=submit_500]", "[sandbox:submit_500]", "[sandbox:fal]"])
def test_a_directive_names_a_known_provider(directive):
    with pytest.raises(UnknownFaultError):
        directed(directive, "fal")


def test_a_fault_acts_on_the_first_submits_only():
    words = ["submit_429_retry_1x2", "latency_3", "job_failedx1"]

    acting = [plan(words, number).words for number in (1, 2, 3)]

    assert acting == [tuple(words), ("submit_429_retry_1x2", "latency_3"), ("latency_3",)]
    assert FaultPlan(("latency_2.5x3",)).number("latency") == 2.5


def test_every_word_is_readable():
    readable = [word.replace("_N", "_1") for word in WORDS]

    assert list(checked(readable)) == readable


async def test_an_unknown_word_is_answered_with_the_known_ones(replicate, fal, control, prompt):
    answers = [
        await predict(replicate, prompt("replicate=nonsense")),
        await queue(fal, prompt("fal=nonsense")),
        await control.put("/faults", json={"fal": {"faults": ["nonsense"]}}),
    ]

    for answer in answers:
        assert answer.status_code == 400
        assert answer.json()["known_faults"] == sorted(WORDS)


# refused submits


@pytest.mark.parametrize(
    ("word", "replicate_status", "fal_status"),
    [
        ("submit_401", 401, 401),
        ("submit_402", 402, 403),
        ("submit_404", 404, 404),
        ("submit_422", 422, 422),
        ("submit_429", 429, 429),
        ("submit_429_bare", 429, 429),
        ("submit_429_retry_7", 429, 429),
        ("submit_500", 500, 500),
        ("submit_502", 502, 502),
        ("submit_503", 503, 503),
    ],
)
async def test_a_submit_is_refused_and_makes_no_job(
    replicate, fal, control, prompt, word, replicate_status, fal_status
):
    text = prompt(f"replicate={word};fal={word}")

    answers = [await predict(replicate, text), await queue(fal, text)]
    seen = (await control.get("/jobs", params={"prompt": text})).json()

    assert [answer.status_code for answer in answers] == [replicate_status, fal_status]
    assert seen["jobs"] == []
    assert [(line["received"], line["accepted"]) for line in seen["submits"]] == [(1, 0), (1, 0)]


@pytest.mark.parametrize(
    ("word", "seconds"), [("submit_429", "1"), ("submit_429_retry_7", "7"), ("submit_429_bare", None)]
)
async def test_a_throttled_submit_says_when_to_come_back(replicate, fal, prompt, word, seconds):
    text = prompt(f"replicate={word};fal={word}")

    at_replicate, at_fal = await predict(replicate, text), await queue(fal, text)

    assert at_replicate.headers.get("retry-after") == at_fal.headers.get("retry-after") == seconds
    assert at_replicate.json().get("retry_after") == (int(seconds) if seconds else None)


async def test_being_out_of_money_has_each_providers_words(replicate, fal, prompt):
    text = prompt("replicate=submit_402;fal=submit_402")

    assert (await predict(replicate, text)).json()["title"] == "Insufficient credit"
    assert "Exhausted balance" in (await queue(fal, text)).json()["detail"]


async def test_replicate_throttles_an_account_that_is_nearly_out_of_credit(replicate, prompt):
    answer = await predict(replicate, prompt("replicate=low_credit"))

    assert (answer.status_code, answer.headers["retry-after"]) == (429, "10")
    assert "less than $5.0 in credit" in answer.json()["detail"]


async def test_a_pinned_version_may_be_gone(replicate, prompt):
    version = "7762fd07cf82c948538e41f63f77d685e02b063e37e496e96eefd46c929f9bdc"
    given = {"version": version, "input": {"prompt": prompt("replicate=bad_version")}}

    answer = await replicate.post("/predictions", json=given)

    assert (answer.status_code, answer.json()["title"]) == (422, "Invalid version or not permitted")


async def test_a_fault_for_the_first_submit_spares_the_second(replicate, prompt):
    text = prompt("replicate=submit_429_retry_1x1")

    assert [(await predict(replicate, text)).status_code for _ in range(3)] == [429, 201, 201]


# lost answers


@pytest.mark.parametrize(("word", "jobs"), [("reset_before", 0), ("reset_after", 1)])
async def test_a_reset_connection_shows_no_sign_of_acceptance(replicate, fal, control, prompt, word, jobs):
    text = prompt(f"replicate={word};fal={word}")

    with pytest.raises(httpx.ReadError):
        await predict(replicate, text)
    with pytest.raises(httpx.ReadError):
        await queue(fal, text)
    seen = (await control.get("/jobs", params={"prompt": text})).json()

    assert sorted(job["provider"] for job in seen["jobs"]) == ["fal", "replicate"] * jobs
    assert [line["received"] for line in seen["submits"]] == [1, 1]


async def test_a_reset_is_a_real_one(sandbox, replicate, prompt):
    body = f'{{"input": {{"prompt": "{prompt("replicate=reset_before")}"}}}}'
    head = (
        f"POST /replicate/v1/models/a/b/predictions HTTP/1.1\r\nhost: {sandbox.host}\r\n"
        f"authorization: {replicate.headers['authorization']}\r\ncontent-length: {len(body)}\r\n\r\n"
    )

    def talk() -> None:
        with socket.create_connection(("127.0.0.1", sandbox.port), timeout=5) as peer:
            peer.sendall((head + body).encode())
            peer.recv(1024)

    with pytest.raises(ConnectionResetError):
        await asyncio.to_thread(talk)


async def test_an_answer_that_never_comes_leaves_a_job(replicate, fal, control, prompt):
    text = prompt("replicate=hang_after;fal=hang_after")
    replicate.timeout = fal.timeout = 0.5

    for submit in (predict(replicate, text), queue(fal, text)):
        with pytest.raises(httpx.ReadTimeout):
            await submit
    jobs = (await control.get("/jobs", params={"prompt": text})).json()["jobs"]

    assert [job["state"] for job in jobs] == ["succeeded", "succeeded"]


# how jobs end


@pytest.mark.parametrize(
    ("word", "text", "status", "kind"),
    [
        ("job_failed", "unknown reason", 500, "internal_server_error"),
        ("job_failed_e6716", "E6716", 504, "startup_timeout"),
        ("job_failed_e1000", "E1000", 500, "internal_server_error"),
        ("job_failed_e1001", "E1001", 500, "runner_server_error"),
        ("job_failed_oom", "CUDA out of memory", 500, "internal_server_error"),
        ("job_failed_interrupted", "interrupted; please retry", 503, "runner_disconnected"),
        ("job_failed_timeout", "timed out", 504, "generation_timeout"),
        ("job_failed_downstream", "upstream", 400, "downstream_service_error"),
    ],
)
async def test_a_failed_job_has_each_providers_words(replicate, fal, prompt, word, text, status, kind):
    asked = prompt(f"replicate={word};fal={word}")
    predicted, queued = (await predict(replicate, asked)).json(), (await queue(fal, asked)).json()

    failed, result = await ended(replicate, predicted), await completed(fal, queued)
    looked = (await fal.get(queued["status_url"])).json()

    assert (failed["status"], failed["output"]) == ("failed", None)
    assert text in failed["error"]
    assert (result.status_code, result.json()["error_type"]) == (status, kind)
    assert (looked["error_type"], result.headers["x-fal-error-type"]) == (kind, kind)
    assert isinstance(result.json()["detail"], str)


@pytest.mark.parametrize("code", ["E4875", "E8765", "E9243", "E9825"])
async def test_replicate_has_codes_that_fal_has_not(replicate, prompt, code):
    asked = prompt(f"replicate=job_failed_{code.lower()}")

    failed = await ended(replicate, (await predict(replicate, asked)).json())

    assert (failed["status"], f"({code})" in failed["error"]) == ("failed", True)


@pytest.mark.parametrize(
    ("word", "text", "kind"),
    [
        ("content_refused", "(E005)", "content_policy_violation"),
        ("content_refused_nsfw", "NSFW content detected", "no_media_generated"),
    ],
)
async def test_refused_content_has_each_providers_words(replicate, fal, prompt, word, text, kind):
    asked = prompt(f"replicate={word};fal={word}")
    predicted, queued = (await predict(replicate, asked)).json(), (await queue(fal, asked)).json()

    failed, result = await ended(replicate, predicted), await completed(fal, queued)
    looked = (await fal.get(queued["status_url"])).json()

    assert (failed["status"], text in failed["error"]) == ("failed", True)
    assert (result.status_code, result.json()["detail"][0]["type"]) == (422, kind)
    assert "error" not in looked  # only the result tells


async def test_fal_tells_which_file_it_could_not_read(fal, prompt):
    result = await completed(fal, (await queue(fal, prompt("fal=job_failed_asset"))).json())

    assert (result.status_code, result.headers["x-fal-retryable"]) == (422, "false")
    (found,) = result.json()["detail"]
    assert (found["type"], found["loc"]) == ("image_load_error", ["body", "image_url"])


async def test_a_job_may_end_in_spite_of_a_cancel(replicate, fal, prompt):
    asked = prompt("replicate=never_ends,ignores_cancel;fal=never_ends,ignores_cancel")
    predicted, queued = (await predict(replicate, asked)).json(), (await queue(fal, asked)).json()

    await replicate.post(predicted["urls"]["cancel"])
    canceled = await fal.put(queued["cancel_url"])

    assert canceled.status_code == 202
    assert (await ended(replicate, predicted))["status"] == "succeeded"
    assert (await completed(fal, queued)).status_code == 200


async def test_the_latency_can_be_asked_for(replicate, control, prompt):
    text = prompt("replicate=latency_0.3")

    done = await ended(replicate, (await predict(replicate, text)).json())

    assert done["metrics"]["total_time"] == pytest.approx(0.3)


# outputs


async def first_file(replicate, prompt, word, model="black-forest-labs/flux-schnell"):
    done = await ended(replicate, (await predict(replicate, prompt(f"replicate={word}"), model)).json())
    return done["output"][0] if isinstance(done["output"], list) else done["output"]


async def test_an_expired_output_is_not_found(replicate, prompt):
    assert (await replicate.get(await first_file(replicate, prompt, "output_expired"))).status_code == 404


async def test_an_unknown_output_is_not_found(replicate, prompt):
    url = await first_file(replicate, prompt, "latency_0")

    assert (await replicate.get(url.replace("out-0", "out-1"))).status_code == 404
    assert (await replicate.get(url.replace("/out-0", "0/out-0"))).status_code == 404


async def test_an_output_of_an_unfinished_job_is_not_found(sandbox, replicate, prompt):
    created = (await predict(replicate, prompt("replicate=never_ends"))).json()

    assert (await replicate.get(f"{sandbox.url}/files/{created['id']}/out-0.webp")).status_code == 404


async def test_a_truncated_output_ends_in_the_middle(replicate, prompt):
    content = (await replicate.get(await first_file(replicate, prompt, "output_truncated"))).content

    (length,) = struct.unpack("<I", content[4:8])
    assert (content[:4], len(content) < length) == (b"RIFF", True)


async def test_a_cut_output_promises_more_than_it_sends(replicate, prompt):
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        await replicate.get(await first_file(replicate, prompt, "output_cut"))


async def test_an_output_may_be_an_error_page(replicate, prompt):
    answer = await replicate.get(await first_file(replicate, prompt, "output_wrong_type"))

    assert answer.headers["content-type"] == "image/webp"
    assert b"<html>" in answer.content


async def test_an_output_may_be_empty(replicate, prompt):
    answer = await replicate.get(await first_file(replicate, prompt, "output_empty"))

    assert (answer.status_code, answer.content) == (200, b"")


async def test_a_job_may_succeed_without_output(replicate, fal, prompt):
    asked = prompt("replicate=output_none;fal=output_none")
    predicted = (await predict(replicate, asked)).json()
    image = (await queue(fal, asked, "fal-ai/flux/dev")).json()
    video = (await queue(fal, asked, "fal-ai/veo3.1/fast")).json()

    done = await ended(replicate, predicted)

    assert (done["status"], done["output"]) == ("succeeded", None)
    assert (await completed(fal, image)).json()["images"] == []
    assert (await completed(fal, video)).json()["video"] is None


async def test_an_output_may_be_a_data_url(replicate, prompt):
    assert (await first_file(replicate, prompt, "output_data_url")).startswith("data:image/webp;base64,")


async def test_an_output_may_point_to_a_private_address(replicate, prompt):
    assert await first_file(replicate, prompt, "output_private") == "http://169.254.169.254/latest/meta-data/"


# looking


async def test_the_first_looks_may_fail(replicate, fal, prompt):
    asked = prompt("replicate=poll_500_2;fal=poll_500")
    predicted, queued = (await predict(replicate, asked)).json(), (await queue(fal, asked)).json()

    at_replicate = [(await replicate.get(predicted["urls"]["get"])).status_code for _ in range(3)]
    at_fal = [(await fal.get(queued["status_url"])).status_code for _ in range(2)]

    assert (at_replicate, at_fal) == ([500, 500, 200], [500, 200])


# configured faults


async def test_configured_faults_act_on_the_next_submits(replicate, fal, control, prompt):
    answer = await control.put("/faults", json={"replicate": {"faults": ["submit_503"], "times": 2}})

    statuses = [(await predict(replicate, prompt())).status_code for _ in range(3)]

    assert answer.json()["configured"] == {"replicate": {"faults": ["submit_503"], "times": 2}}
    assert statuses == [503, 503, 201]
    assert (await control.get("/faults")).json()["configured"] == {}


async def test_configured_faults_act_until_they_are_cleared(fal, control, prompt):
    await control.put("/faults", json={"fal": {"faults": ["submit_500"]}, "replicate": {"faults": ["submit_500"]}})
    during = [(await queue(fal, prompt())).status_code for _ in range(2)]

    left = (await control.delete("/faults", params={"provider": "fal"})).json()["configured"]
    after = (await queue(fal, prompt())).status_code
    nothing = (await control.delete("/faults")).json()["configured"]

    assert (during, after) == ([500, 500], 200)
    assert (list(left), nothing) == (["replicate"], {})


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"midjourney": {"faults": []}},
        {"fal": []},
        {"fal": {"faults": "submit_500"}},
        {"fal": {"faults": [1]}},
        {"fal": {"faults": [], "times": 0}},
        {"fal": {"faults": [], "times": "2"}},
    ],
)
async def test_a_malformed_configuration_is_refused(control, body):
    assert (await control.put("/faults", json=body)).status_code == 400
