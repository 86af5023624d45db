"""Finding a job at fal whose submit was not answered."""

import pytest

from adapters.providers import fal
from adapters.providers.fal_addresses import rebuilt
from domain.errors import ProviderUnavailable
from tests.support.fal import ID, PLATFORM, QUEUE, REF, SUBMISSION, SUBMITTED, provider
from tests.support.providers import Recorder, answer


def an_item(request_id=ID, **changes):
    return {
        "request_id": request_id,
        "endpoint_id": SUBMISSION.native_model,
        "sent_at": "2026-11-18T09:14:02.300Z",
        "ended_at": "2026-11-18T09:14:10Z",
        "status_code": 200,
        "json_input": dict(SUBMISSION.native_input),
    } | changes


def a_history(*items, cursor=None):
    return answer(200, {"items": list(items), "next_cursor": cursor, "has_more": cursor is not None})


async def test_a_lost_request_is_found_in_the_history_once_it_has_ended():
    recorder = Recorder(
        a_history(
            an_item("other-input", json_input={"prompt": "another"}),
            an_item("other-model", endpoint_id="fal-ai/flux/dev"),
            an_item("too-old", sent_at="2026-11-18T09:13:56Z"),
            an_item("timeless", sent_at=None),
            "odd",
            an_item("later", sent_at="2026-11-18T09:14:12Z"),
            an_item(),
        )
    )

    assert await provider(recorder).find(SUBMISSION, SUBMITTED) == [
        REF,
        rebuilt("later", SUBMISSION.native_model, QUEUE + "/"),
    ]
    assert str(recorder.last.url).startswith(f"{PLATFORM}/models/requests/by-endpoint?")
    assert dict(recorder.last.url.params) == {
        "endpoint_id": "fal-ai/flux/schnell",
        "start": "2026-11-18T09:13:57Z",
        "expand": "payloads",
        "limit": "100",
    }


async def test_a_history_of_another_form_holds_nothing():
    assert await provider(Recorder(answer(200, {"items": 7}))).find(SUBMISSION, SUBMITTED) == []


async def test_the_history_is_read_page_by_page():
    recorder = Recorder(a_history(cursor="Mg=="), a_history(an_item()))

    assert await provider(recorder).find(SUBMISSION, SUBMITTED) == [REF]
    assert recorder.last.url.params["cursor"] == "Mg=="


async def test_reading_the_history_has_an_end():
    recorder = Recorder(*[a_history(cursor="x") for _ in range(20)])

    assert await provider(recorder).find(SUBMISSION, SUBMITTED) == []
    assert len(recorder.requests) == fal.PAGES_MAX


async def test_a_search_that_did_not_work_is_no_answer():
    with pytest.raises(ProviderUnavailable):
        await provider(Recorder(answer(500, {"detail": "Boom"}))).find(SUBMISSION, SUBMITTED)
