from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from domain import keys
from domain.errors import InvalidInput
from domain.keys import KeyState, Scope

PEPPER = b"p" * 32
NOW = datetime(2026, 6, 2, 8, 15, tzinfo=UTC)


def test_a_minted_key_has_the_published_form():
    minted = keys.mint(PEPPER, bytes(range(32)))

    assert minted.secret == "bye_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
    assert minted.prefix == "bye_AAECA"
    assert len(minted.key_hash) == 32


def test_a_minted_key_is_found_by_the_hash_of_its_secret():
    minted = keys.mint(PEPPER, bytes(32))

    assert keys.key_hash(PEPPER, minted.secret) == minted.key_hash


def test_the_hash_depends_on_the_pepper():
    assert keys.key_hash(PEPPER, "bye_x") != keys.key_hash(b"q" * 32, "bye_x")


@pytest.mark.parametrize(
    ("text", "well_formed"),
    [
        pytest.param("bye_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", True, id="ours"),
        pytest.param("bye_" + "a" * 38, True, id="as long as the published samples"),
        pytest.param("bye_" + "-_" * 10, True, id="both special characters of base64url"),
        pytest.param("bye_short", False, id="too short"),
        pytest.param("bye_" + "a" * 129, False, id="too long"),
        pytest.param("key_" + "a" * 43, False, id="another prefix"),
        pytest.param("bye_" + "a" * 42 + "+", False, id="another alphabet"),
        pytest.param("bye_" + "a" * 43 + "\n", False, id="a line break at the end"),
        pytest.param("", False, id="empty"),
    ],
)
def test_what_can_be_a_key(text: str, well_formed: bool):
    assert keys.well_formed(text) is well_formed


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        pytest.param({}, KeyState.ACTIVE, id="without an end: active"),
        pytest.param({"expires_at": NOW + timedelta(seconds=1)}, KeyState.ACTIVE, id="before its end: active"),
        pytest.param({"expires_at": NOW}, KeyState.EXPIRED, id="at its end: expired"),
        pytest.param({"revoked_at": NOW - timedelta(days=1)}, KeyState.REVOKED, id="revoked"),
        pytest.param({"rotated_at": NOW, "expires_at": NOW + timedelta(hours=1)}, KeyState.ROTATED, id="rotated"),
        pytest.param({"rotated_at": NOW - timedelta(hours=1), "expires_at": NOW}, KeyState.EXPIRED, id="grace is over"),
        pytest.param({"rotated_at": NOW, "revoked_at": NOW}, KeyState.REVOKED, id="rotated, then revoked"),
        pytest.param({"key_region": "eu"}, KeyState.FOREIGN, id="of another region: foreign"),
    ],
)
def test_the_state_of_a_key(facts: dict[str, object], state: KeyState):
    usual: dict[str, object] = {"key_region": "us", "expires_at": None, "revoked_at": None}

    assert keys.state(now=NOW, region="us", **(usual | facts)) is state  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("preset", "scopes"),
    [
        ("full_access", set(Scope) - {Scope.BILLING_WRITE}),  # which the contract does not have: it is given by name
        ("generate_only", {Scope.GENERATION_WRITE, Scope.GENERATION_READ, Scope.LIBRARY_READ}),
        ("read_only", {Scope.GENERATION_READ, Scope.ACCOUNT_READ, Scope.HEALTH_READ, Scope.LIBRARY_READ}),
        ("monitor_only", {Scope.HEALTH_READ, Scope.LIBRARY_READ}),
    ],
)
def test_the_presets_are_those_of_the_contract(preset: str, scopes: set[Scope]):
    assert set(keys.scopes_of([preset])) == scopes


def test_scopes_and_presets_may_be_combined():
    assert keys.scopes_of(["monitor_only", "generation:write"]) == (
        Scope.GENERATION_WRITE,
        Scope.HEALTH_READ,
        Scope.LIBRARY_READ,
    )


@pytest.mark.parametrize("names", [["generation:everything"], []], ids=["unknown", "none"])
def test_scopes_that_do_not_exist_are_refused(names: list[str]):
    with pytest.raises(InvalidInput):
        keys.scopes_of(names)


@pytest.mark.parametrize(
    ("allowlist", "client_ip", "allowed"),
    [
        pytest.param([], "203.0.113.7", True, id="an empty list allows everyone"),
        pytest.param([], None, True, id="an empty list allows an unknown address"),
        pytest.param(["203.0.113.7"], "203.0.113.7", True, id="an IPv4 address"),
        pytest.param(["203.0.113.7"], "203.0.113.8", False, id="another IPv4 address"),
        pytest.param(["203.0.113.0/24"], "203.0.113.99", True, id="an IPv4 block"),
        pytest.param(["203.0.113.0/24"], "203.0.114.1", False, id="outside of the block"),
        pytest.param(["2001:db8::/32"], "2001:db8:1::9", True, id="an IPv6 block"),
        pytest.param(["2001:db8::/32"], "203.0.113.7", False, id="IPv4 against an IPv6 block"),
        pytest.param(["203.0.113.0/24"], "::ffff:203.0.113.7", True, id="a mapped address is its IPv4 address"),
        pytest.param(["::ffff:203.0.113.0/120"], "203.0.113.7", True, id="a mapped block is its IPv4 block"),
        pytest.param(["fe80::/10"], "fe80::1%eth0", True, id="an address with a zone"),
        pytest.param(["203.0.113.7"], None, False, id="an unknown address"),
        pytest.param(["203.0.113.7"], "not an address", False, id="not an address"),
    ],
)
def test_the_allowlist(allowlist: list[str], client_ip: str | None, allowed: bool):
    assert keys.ip_allowed(allowlist, client_ip) is allowed


def test_allowlist_entries_are_kept_in_one_spelling():
    entries = [" 203.0.113.7 ", "203.0.113.7/32", "203.0.113.9/24", "2001:DB8::1", "::ffff:198.51.100.1"]

    assert keys.normal_allowlist(entries) == ["203.0.113.7", "203.0.113.0/24", "2001:db8::1", "198.51.100.1"]


@pytest.mark.parametrize(
    "entries", [["example.com"], ["203.0.113.0/33"], ["203.0.113.1"] * 51], ids=["a name", "a bad block", "too many"]
)
def test_allowlists_that_cannot_be_read_are_refused(entries: list[str]):
    with pytest.raises(InvalidInput):
        keys.normal_allowlist(entries)


@pytest.mark.parametrize("state", KeyState)
def test_section_3_5_active_and_rotated_keys_authenticate(state: KeyState):
    assert state.authenticates is (state in {KeyState.ACTIVE, KeyState.ROTATED})


@pytest.mark.parametrize("hours", [1, 6, 12, 24, 48, 72, 168])
def test_section_3_5_a_grace_period_of_1_to_168_hours(hours: int):
    assert keys.grace_of(hours) == timedelta(hours=hours)


@pytest.mark.parametrize("hours", [-1, 0, 169])
def test_section_3_5_any_other_grace_period_is_refused(hours: int):
    with pytest.raises(InvalidInput, match="1 to 168 hours"):
        keys.grace_of(hours)


@pytest.mark.parametrize(
    ("name", "kept"), [("production", "production"), (" ci ", "ci"), ("x" * 100, "x" * 100), ("Käse 🧀", "Käse 🧀")]
)
def test_section_3_2_a_name_of_up_to_100_characters(name: str, kept: str):
    assert keys.key_name(name) == kept


@pytest.mark.parametrize("name", ["", "   ", "x" * 101, "a\x00b", "two\nlines"])
def test_section_3_2_any_other_name_is_refused(name: str):
    with pytest.raises(InvalidInput, match="1 to 100"):
        keys.key_name(name)
