"""Callbacks of fal: signatures, and the public keys behind them."""

import base64
import hashlib
import json

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from adapters.providers.fal_signature import KEYS_LIFE_S, REFETCH_PAUSE_S, KeySet, keys_of, verified
from domain.errors import CallbackRefused
from tests.support.fal import (
    ID,
    REST,
    provider,
)
from tests.support.providers import DATA, Recorder, answer

RECORDED = json.loads((DATA / "fal_callbacks.json").read_text())
VECTORS = RECORDED["cases"]
A_CALLBACK = next(case for case in VECTORS if case["name"] == "valid_ok")


def lower(case) -> dict[str, str]:
    return {name.lower(): value for name, value in case["headers"].items()}


def jwks(name):
    return answer(200, RECORDED["jwks"][name])


async def ring(adapter, case=A_CALLBACK):
    return await adapter.verify_callback(lower(case), base64.b64decode(case["body_b64"]))


class Clock:
    def __init__(self, now=A_CALLBACK["now"]):
        self.now = now

    def __call__(self):
        return self.now


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["name"])
async def test_the_signature_vectors_are_judged_as_written(case):
    recorder = Recorder(*[jwks(case["jwks"])] * 2)

    try:
        notice = await ring(provider(recorder, clock=Clock(case["now"])), case)
    except CallbackRefused:
        assert case["expect"] == "invalid"
    else:
        assert case["expect"] == "valid"
        assert (notice.event_id, notice.job_id) == (ID, ID)


async def test_the_keys_are_public_and_fetched_without_our_credential():
    recorder = Recorder(jwks("one"))

    await ring(provider(recorder, clock=Clock()))

    assert str(recorder.last.url) == f"{REST}/.well-known/jwks.json"
    assert "authorization" not in recorder.last.headers


async def test_the_keys_are_fetched_once():
    recorder = Recorder(jwks("one"))
    adapter = provider(recorder, clock=Clock())

    await ring(adapter)
    await ring(adapter)

    assert len(recorder.requests) == 1


async def test_the_keys_are_fetched_again_after_a_day():
    clock = Clock()
    fetched = []

    async def fetch():
        fetched.append(clock.now)
        return RECORDED["jwks"]["one"]

    keys = KeySet(fetch, clock)
    headers, body = lower(A_CALLBACK), base64.b64decode(A_CALLBACK["body_b64"])
    for seconds in (0, KEYS_LIFE_S - 1, KEYS_LIFE_S):
        clock.now = A_CALLBACK["now"] + seconds
        assert await verified(keys, headers, body, now=A_CALLBACK["now"]) == ID

    assert fetched == [A_CALLBACK["now"], A_CALLBACK["now"] + KEYS_LIFE_S]


async def _document(name):
    return RECORDED["jwks"][name]


async def test_a_key_that_is_not_known_yet_is_looked_for_once_a_minute():
    clock = Clock()
    served = ["after_rotation", "after_rotation", "two"]
    fetched = []

    async def fetch():
        fetched.append(served[len(fetched)])
        return RECORDED["jwks"][fetched[-1]]

    keys = KeySet(fetch, clock)
    headers, body = lower(A_CALLBACK), base64.b64decode(A_CALLBACK["body_b64"])

    for seconds, expected in [(0, 1), (30, 1), (REFETCH_PAUSE_S, 2), (REFETCH_PAUSE_S + 30, 2)]:
        clock.now = A_CALLBACK["now"] + seconds
        with pytest.raises(CallbackRefused):
            await verified(keys, headers, body, now=clock.now)
        assert len(fetched) == expected

    clock.now = A_CALLBACK["now"] + 2 * REFETCH_PAUSE_S
    assert await verified(keys, headers, body, now=clock.now) == ID


async def test_keys_older_than_a_day_verify_nothing_when_they_cannot_be_renewed():
    clock = Clock()
    served = [RECORDED["jwks"]["one"], None]

    async def fetch():
        return served.pop(0)

    keys = KeySet(fetch, clock)
    headers, body = lower(A_CALLBACK), base64.b64decode(A_CALLBACK["body_b64"])
    await verified(keys, headers, body, now=A_CALLBACK["now"])
    clock.now += KEYS_LIFE_S

    with pytest.raises(CallbackRefused):
        await verified(keys, headers, body, now=A_CALLBACK["now"])


@pytest.mark.parametrize("reply", [answer(500, {}), answer(200, "not json"), httpx.ConnectError("dns")])
async def test_without_keys_every_callback_is_refused_and_the_server_is_not_hammered(reply):
    recorder = Recorder(reply)
    adapter = provider(recorder, clock=Clock())

    for _ in range(3):
        with pytest.raises(CallbackRefused):
            await ring(adapter)

    assert len(recorder.requests) == 1


@pytest.mark.parametrize("body", [b'{"request_id":"another"}', b"[]", b"not json"])
async def test_a_signed_body_must_name_the_request_of_its_header(body):
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    public = base64.urlsafe_b64encode(key.public_key().public_bytes_raw()).decode().rstrip("=")
    message = f"{ID}\nuser\n1000\n{hashlib.sha256(body).hexdigest()}".encode()
    headers = {
        "x-fal-webhook-request-id": ID,
        "x-fal-webhook-user-id": "user",
        "x-fal-webhook-timestamp": "1000",
        "x-fal-webhook-signature": key.sign(message).hex(),
    }

    async def fetch():
        return {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": public}]}

    with pytest.raises(CallbackRefused, match="another request"):
        await verified(KeySet(fetch, lambda: 1000), headers, body, now=1000)


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"keys": None},
        {"keys": ["odd", {"kty": "OKP", "crv": "Ed25519"}]},
        {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": 7}, {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}]},
        {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "é?"}, {"kty": "OKP", "crv": "X25519", "x": "A" * 43}]},
    ],
)
def test_a_key_set_without_usable_keys_is_empty(document):
    assert keys_of(document) == []


HEADERS = [f"x-fal-webhook-{name}" for name in ("request-id", "user-id", "timestamp", "signature")]


@given(st.dictionaries(st.sampled_from(HEADERS), st.text(max_size=20) | st.just("0" * 128) | st.just("0")), st.binary())
async def test_random_callbacks_are_refused(headers, body):
    with pytest.raises(CallbackRefused):
        await verified(KeySet(lambda: _document("one"), lambda: 0), headers, body, now=0)
