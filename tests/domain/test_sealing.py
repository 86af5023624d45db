import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InternalError
from domain.sealing import derive_key, seal, unseal

ROOT = "an obviously fake root secret, long enough"
KEY = derive_key(ROOT, "webhook-secrets")


@given(st.binary(max_size=200), st.binary(max_size=50))
def test_what_was_sealed_opens_in_its_place(plaintext, context):
    assert unseal(KEY, seal(KEY, plaintext, context), context) == plaintext


def test_equal_plaintexts_do_not_look_equal():
    assert seal(KEY, b"whsec_x", b"row 1") != seal(KEY, b"whsec_x", b"row 1")


def test_keys_are_stable_and_differ_by_root_and_by_purpose():
    assert derive_key(ROOT, "webhook-secrets") == KEY
    assert len({KEY, derive_key(ROOT, "file-urls"), derive_key(ROOT + ".", "webhook-secrets")}) == 3
    assert len(KEY) == 32


def test_a_short_root_is_no_secret():
    with pytest.raises(ValueError, match="32"):
        derive_key("too short", "file-urls")


@pytest.mark.parametrize("position", range(len(seal(KEY, b"whsec_x", b"row 1"))))
def test_a_change_of_any_byte_does_not_open(position):
    sealed = bytearray(seal(KEY, b"whsec_x", b"row 1"))
    sealed[position] ^= 1

    with pytest.raises(InternalError):
        unseal(KEY, bytes(sealed), b"row 1")


@pytest.mark.parametrize(
    ("key", "context"),
    [
        pytest.param(KEY, b"row 2", id="moved to another row"),
        pytest.param(derive_key(ROOT, "file-urls"), b"row 1", id="the key of another purpose"),
    ],
)
def test_a_sealed_value_does_not_open_elsewhere(key, context):
    with pytest.raises(InternalError):
        unseal(key, seal(KEY, b"whsec_x", b"row 1"), context)


@given(st.binary(max_size=40))
def test_random_bytes_do_not_open(sealed):
    with pytest.raises(InternalError):
        unseal(KEY, sealed, b"")
