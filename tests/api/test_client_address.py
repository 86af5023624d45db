"""Section 3.4: whose address counts. A header is believed only as far as our own proxies wrote it."""

from __future__ import annotations

import sys
from typing import Any

import httpx
import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st

from api.__main__ import main as serve
from api.client_address import ClientAddress
from domain.networks import address_of, networks_of
from settings import Settings
from tests.api.conftest import NewCustomer, serving
from tests.api.reading import error_of

PROXIES = networks_of("10.0.0.0/8, 192.0.2.7, 2001:db8:1::/48")


def of(peer: str | None, *forwarded: str | bytes, proxies: bool = True) -> str | None:
    lines = [(b"x-forwarded-for", line if isinstance(line, bytes) else line.encode()) for line in forwarded]
    client = None if peer is None else (peer, 50_000)
    return ClientAddress(PROXIES if proxies else ()).of({"type": "http", "client": client, "headers": lines})


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        pytest.param("203.0.113.5", [], "203.0.113.5", id="no proxy: the peer"),
        pytest.param("203.0.113.5", ["198.51.100.1"], "203.0.113.5", id="a stranger's header is not read"),
        pytest.param("10.1.2.3", ["198.51.100.1"], "198.51.100.1", id="a proxy tells"),
        pytest.param("10.1.2.3", [], "10.1.2.3", id="a proxy that tells nothing is the client"),
        pytest.param("10.1.2.3", ["1.1.1.1, 198.51.100.1"], "198.51.100.1", id="what the client wrote is not believed"),
        pytest.param("10.1.2.3", ["198.51.100.1, 192.0.2.7"], "198.51.100.1", id="two proxies in a row"),
        pytest.param("10.1.2.3", ["198.51.100.1", "192.0.2.7"], "198.51.100.1", id="in two lines"),
        pytest.param("10.1.2.3", ["10.9.9.9, 10.8.8.8"], "10.9.9.9", id="proxies all the way: the first of them"),
        pytest.param("10.1.2.3", ["198.51.100.1, nonsense"], "10.1.2.3", id="what is no address ends the walk"),
        pytest.param("10.1.2.3", ["198.51.100.1, nonsense, 10.8.8.8"], "10.8.8.8", id="at the last proxy known"),
        pytest.param("10.1.2.3", [""], "10.1.2.3", id="an empty header"),
        pytest.param("10.1.2.3", ["198.51.100.1,"], "10.1.2.3", id="an empty hop"),
        pytest.param("10.1.2.3", ["unknown"], "10.1.2.3", id="the word unknown"),
        pytest.param("10.1.2.3", ["198.51.100.1:4711"], "198.51.100.1", id="with a port"),
        pytest.param("10.1.2.3", ["[2001:db8::5]:4711"], "2001:db8::5", id="IPv6 with a port"),
        pytest.param("10.1.2.3", ["[2001:db8::5]"], "2001:db8::5", id="IPv6 in brackets"),
        pytest.param("10.1.2.3", ["2001:db8::5"], "2001:db8::5", id="IPv6"),
        pytest.param("10.1.2.3", ["::ffff:198.51.100.1"], "198.51.100.1", id="IPv4 in IPv6 is IPv4"),
        pytest.param("::ffff:10.1.2.3", ["198.51.100.1"], "198.51.100.1", id="as a peer too"),
        pytest.param("2001:db8:1::9", ["198.51.100.1"], "198.51.100.1", id="an IPv6 proxy"),
        pytest.param("fe80::1%eth0", [], "fe80::1", id="without its zone"),
        pytest.param(None, ["198.51.100.1"], None, id="no peer"),
        pytest.param("testclient", [], None, id="a peer without an address"),
    ],
)
def test_section_3_4_the_right_most_hop_that_is_not_ours(peer: str | None, forwarded: list[str], client: str | None):
    assert of(peer, *forwarded) == client


def test_section_3_4_without_trusted_proxies_no_header_is_read():
    assert of("10.1.2.3", "198.51.100.1", proxies=False) == "10.1.2.3"


@given(st.lists(st.binary(max_size=60), max_size=3))
def test_section_3_4_nothing_in_a_header_can_break_it(lines: list[bytes]):
    found = of("10.1.2.3", *lines)

    assert found is not None
    assert address_of(found) is not None


@given(st.text(alphabet="0123456789abcdef:.,[]% ", max_size=40))
def test_section_3_4_what_a_client_prepends_changes_nothing(forged: str):
    assert of("10.1.2.3", f"{forged},198.51.100.1") == "198.51.100.1"


async def status(client: httpx.AsyncClient, key: dict[str, str], forwarded: str) -> httpx.Response:
    return await client.get("/v1/status", headers=key | {"X-Forwarded-For": forwarded})


async def test_section_3_4_behind_a_trusted_proxy_the_allowlist_meets_the_client(
    settings: Settings, new_customer: NewCustomer
):
    customer = await new_customer(ip_allowlist=("203.0.113.0/24",))
    behind = settings.model_copy(update={"trusted_proxies": "10.0.0.0/8"})

    async with serving(behind, "10.1.2.3") as client:
        inside = await status(client, customer.auth, "203.0.113.9")
        outside = await status(client, customer.auth, "203.0.113.9, 198.51.100.1")

    assert inside.status_code == 200
    assert error_of(outside) == (403, "BSE1007")


def test_section_3_4_uvicorn_reads_no_forwarded_header_itself(monkeypatch: pytest.MonkeyPatch):
    """By default it takes every peer on loopback for a proxy, and then nobody knows the real one."""
    served: dict[str, Any] = {}
    monkeypatch.setattr(uvicorn, "run", lambda _, **options: served.update(options))
    monkeypatch.setattr(sys, "argv", ["api"])

    serve()

    assert served["proxy_headers"] is False
