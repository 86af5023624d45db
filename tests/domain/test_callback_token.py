import base64
import string
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.callback_token import mint, read
from domain.errors import CallbackRefused

KEY = bytes(range(32))
GENERATION = "0b6f6a2e-3f59-4a53-9a3e-7d1a53b9c0f1"
TOKEN = mint(KEY, "us", "replicate", GENERATION, 2)


@given(st.uuids(), st.integers(0, 65_535), st.text(max_size=10), st.text(max_size=10))
def test_what_was_minted_is_read_back(generation, number, region, provider):
    token = mint(KEY, region, provider, str(generation), number)

    assert read(KEY, region, provider, token) == (str(generation), number)


def test_a_token_is_short_and_safe_in_an_address():
    assert len(TOKEN) <= 80
    assert set(TOKEN) <= set(string.ascii_letters + string.digits + "-_")


def test_the_same_attempt_has_the_same_token_and_another_attempt_another():
    assert mint(KEY, "us", "replicate", GENERATION, 2) == TOKEN
    assert mint(KEY, "us", "replicate", GENERATION, 3) != TOKEN


@pytest.mark.parametrize(
    ("key", "region", "provider"),
    [
        pytest.param(KEY, "eu", "replicate", id="another region"),
        pytest.param(KEY, "us", "fal", id="another provider"),
        pytest.param(bytes(32), "us", "replicate", id="another key"),
    ],
)
def test_a_token_of_another_place_is_refused(key, region, provider):
    with pytest.raises(CallbackRefused):
        read(key, region, provider, TOKEN)


@pytest.mark.parametrize("position", range(len(TOKEN)))
def test_a_change_of_any_character_is_refused(position):
    other = "A" if TOKEN[position] != "A" else "B"

    with pytest.raises(CallbackRefused):
        read(KEY, "us", "replicate", TOKEN[:position] + other + TOKEN[position + 1 :])


def test_only_one_text_stands_for_a_token():
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    raw = base64.urlsafe_b64decode(TOKEN + "==")
    same_bytes = [TOKEN[:-1] + c for c in alphabet if base64.urlsafe_b64decode(TOKEN[:-1] + c + "==") == raw]

    assert len(same_bytes) > 1, "the last character has bits that decoding ignores"
    for twin in same_bytes:
        if twin != TOKEN:
            with pytest.raises(CallbackRefused):
                read(KEY, "us", "replicate", twin)


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="empty"),
        pytest.param(TOKEN[:-1], id="one character short"),
        pytest.param(TOKEN + "A", id="one character long"),
        pytest.param(TOKEN + "==", id="padded"),
        pytest.param(TOKEN[:-2] + "==", id="padding in place of characters"),
        pytest.param(TOKEN[:-1] + "\n", id="a line feed"),
        pytest.param(TOKEN[:-1] + "+", id="the other base64 alphabet"),
        pytest.param(TOKEN[:-1] + "é", id="not ASCII"),
        pytest.param("A" * len(TOKEN), id="all zeros"),
        pytest.param(str(uuid.UUID(GENERATION)), id="a bare generation id"),
    ],
)
def test_a_malformed_token_is_refused(token):
    with pytest.raises(CallbackRefused):
        read(KEY, "us", "replicate", token)


@given(st.text(max_size=80))
def test_random_text_is_refused(text):
    with pytest.raises(CallbackRefused):
        read(KEY, "us", "replicate", text)
