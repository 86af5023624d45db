"""Telling fal to stop."""

import httpx
import pytest

from domain.errors import (
    ProviderAuthFailed,
    ProviderUnavailable,
)
from tests.support.fal import ADDRESSES, REF, provider
from tests.support.providers import EDGE_PAGE, Recorder, answer


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (answer(200, {"status": "OK"}), True),
        (answer(202, {"status": "CANCELLATION_REQUESTED"}), True),
        (answer(400, {"status": "ALREADY_COMPLETED"}), False),
        (answer(404, {"status": "NOT_FOUND"}), False),
    ],
)
async def test_a_cancel_is_told_once(reply, told):
    recorder = Recorder(reply)

    assert await provider(recorder).cancel(REF) is told
    assert (recorder.last.method, str(recorder.last.url)) == ("PUT", ADDRESSES["cancel_url"])


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (answer(401, {"detail": "No user found"}), ProviderAuthFailed),
        (answer(503, EDGE_PAGE), ProviderUnavailable),
        (httpx.ReadError("reset"), ProviderUnavailable),
    ],
)
async def test_a_cancel_that_did_not_arrive_can_be_repeated(reply, error):
    with pytest.raises(error):
        await provider(Recorder(reply)).cancel(REF)
