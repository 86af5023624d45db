"""Both clients for addresses from outside, against whatever would lead them inside: nothing is ever connected to."""

from __future__ import annotations

import asyncio
import gzip
import io
import ssl
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from adapters.guarded_http import GuardedFetcher
from adapters.webhook_http import WebhookSender
from domain.addresses import AddressRules
from domain.errors import AddressRefused, FileTooBig, ProviderInvalidOutput
from tests.domain.test_addresses import REFUSED
from tests.support.servers import Certificates, Wire, a_server, certificates, names, plain

PUBLIC, OTHER_PUBLIC = "93.184.216.34", "93.184.216.35"
TLS = ssl.create_default_context()  # made once: it takes longer than all else here
Sent = Callable[..., Awaitable[str]]


async def fetched(url: str, *, within_s: float = 5, **options: Any) -> str:
    """How a file is fetched, as customers' input files and providers' outputs are."""
    fetcher = GuardedFetcher(**{"ssl_context": TLS} | options)
    try:
        await fetcher.fetch(url, io.BytesIO(), bytes_max=10_000, time_max=timedelta(seconds=within_s))
    except AddressRefused:
        return "refused"
    except ProviderInvalidOutput:
        return "failed"
    finally:
        await fetcher.aclose()
    return "done"


async def posted(url: str, *, within_s: float = 5, **options: Any) -> str:
    """How a webhook is sent."""
    sender = WebhookSender(**{"ssl_context": TLS} | options)
    try:
        reply = await sender.post(url, b"{}", {}, within_s)
    finally:
        await sender.aclose()
    if reply.error is not None:
        return "refused" if reply.error.startswith("address refused: ") else "failed"
    return "done"


@pytest.fixture(params=[fetched, posted], ids=["a file", "a webhook"])
def sent(request: pytest.FixtureRequest) -> Sent:
    client: Sent = request.param
    return client


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("tls"), "files.example.com")


# --- addresses -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", REFUSED.values(), ids=REFUSED)
async def test_a_text_that_could_lead_inside_leads_nowhere(sent: Sent, url: str):
    wire, resolver = Wire(1), names()

    assert await sent(url, resolver=resolver, network=wire) == "refused"

    assert (wire.connected, resolver.asked) == ([], [])


INSIDE = {
    "loopback": ["127.0.0.1"],
    "this network": ["0.0.0.0"],
    "private": ["10.1.2.3"],
    "link-local": ["169.254.169.254"],
    "carrier NAT": ["100.64.0.1"],
    "multicast": ["224.0.0.1"],
    "broadcast": ["255.255.255.255"],
    "a cloud's host service": ["168.63.129.16"],
    "IPv6 loopback": ["::1"],
    "IPv6 unspecified": ["::"],
    "IPv4-mapped": ["::ffff:127.0.0.1"],
    "IPv4-mapped public": [f"::ffff:{PUBLIC}"],
    "IPv4-compatible": ["::7f00:1"],
    "IPv4-translated": ["::ffff:0:7f00:1"],
    "NAT64": ["64:ff9b::7f00:1"],
    "local NAT64": ["64:ff9b:1::a9fe:a9fe"],
    "6to4": ["2002:7f00:1::"],
    "Teredo": ["2001:0:53aa:64c:0:0:8000:0"],
    "unique local": ["fd00:ec2::254"],
    "link-local with a zone": ["fe80::1%eth0"],
    "a zone on a public address": ["2606:2800:220:1::1%eth0"],
    "site-local": ["fec0::1"],
    "documentation": ["2001:db8::1"],
    "public, then private": [PUBLIC, "192.168.0.1"],
    "private, then public": ["192.168.0.1", PUBLIC],
    "public IPv4, private IPv6": [PUBLIC, "fd00::1"],
    "one of a hundred": [*(f"93.184.216.{number}" for number in range(100)), "172.16.0.1"],
    "no address": ["an answer that is none"],
}


@pytest.mark.parametrize("addresses", INSIDE.values(), ids=INSIDE)
async def test_a_name_with_any_address_inside_leads_nowhere(sent: Sent, addresses: list[str]):
    wire = Wire(1)

    answer = await sent(
        "https://127.0.0.1.nip.example/", resolver=names(**{"127_0_0_1_nip_example": addresses}), network=wire
    )

    assert (answer, wire.connected) == ("refused", [])


async def test_a_name_that_answers_differently_the_second_time_is_connected_to_as_it_was_checked(
    sent: Sent, tls: Certificates
):
    resolver = names(files_example_com=[[PUBLIC], ["127.0.0.1"]])
    async with a_server(lambda writer, target: writer.write(plain(b"ok")), tls.server) as server:
        wire = Wire(server.port)
        answer = await sent("https://files.example.com/", resolver=resolver, network=wire, ssl_context=tls.client)

    assert (answer, wire.connected, resolver.asked) == ("done", [(PUBLIC, 443)], ["files.example.com"])


async def test_a_name_is_checked_again_for_every_connection(sent: Sent):
    resolver = names(files_example_com=[[PUBLIC], ["127.0.0.1"]])
    wire = Wire(1)
    wire.dead = {PUBLIC}

    answers = [await sent("https://files.example.com/", resolver=resolver, network=wire) for _ in range(2)]

    assert (answers, wire.connected) == (["failed", "refused"], [(PUBLIC, 443)])


@pytest.mark.parametrize("host", ["FILES.Example.COM", "files.example.com:443", "files.example.com:"])
async def test_other_spellings_of_a_public_host_are_that_host(sent: Sent, tls: Certificates, host: str):
    async with a_server(lambda writer, target: writer.write(plain(b"ok")), tls.server) as server:
        wire = Wire(server.port)
        answer = await sent(
            f"https://{host}/", resolver=names(files_example_com=[PUBLIC]), network=wire, ssl_context=tls.client
        )

    assert (answer, wire.connected, server.server_names) == ("done", [(PUBLIC, 443)], ["files.example.com"])
    assert b"\r\nHost: files.example.com\r\n" in server.requests[0]


async def test_a_public_address_with_a_certificate_of_another_name_gets_nothing(sent: Sent, tls: Certificates):
    async with a_server(lambda writer, target: writer.write(plain(b"ok")), tls.server) as server:
        wire = Wire(server.port)
        answer = await sent(f"https://{OTHER_PUBLIC}/", network=wire, ssl_context=tls.client)

    assert (answer, server.requests) == ("failed", [])


# --- redirects -----------------------------------------------------------------------------------------------------


def leading(*locations: str | None) -> Callable[[Any, str], None]:
    """Redirects, one after the other, and closes each time; after them, a file."""
    waiting = list(locations)

    def respond(writer: Any, target: str) -> None:
        if not waiting:
            writer.write(plain(b"ok"))
            return
        location = waiting.pop(0)
        writer.write(plain(status=302, Connection="close", **({} if location is None else {"Location": location})))
        writer.close()

    return respond


INWARD = {
    "loopback": "https://127.0.0.1/",
    "metadata": "https://169.254.169.254/latest/meta-data/",
    "a decimal": "https://2130706433/",
    "IPv4-mapped": "https://[::ffff:a9fe:a9fe]/",
    "another scheme": "gopher://files.example.com/",
    "a file": "file:/etc/passwd",
    "data": "data:image/png;base64,aGVsbG8=",
    "without TLS": "http://files.example.com/",
    "another port": "https://files.example.com:22/",
    "credentials": "https://files.example.com@127.0.0.1/",
    "relative to the scheme": "//127.0.0.1/",
    "a backslash": "/\\127.0.0.1/",
    "a fragment": "#x",
    "a long one": "/" + "a" * 3000,
    "a name that leads inside": "https://in.example.com/",
    "characters of another set": "https://b\xfccher.example/",
}


@pytest.mark.parametrize("location", INWARD.values(), ids=INWARD)
@pytest.mark.parametrize("hops", [0, 2])
async def test_no_hop_of_a_redirect_leads_inside(tls: Certificates, location: str, hops: int):
    resolver = names(files_example_com=[PUBLIC], in_example_com=["10.0.0.1"])
    async with a_server(leading(*["/on"] * hops, location.encode().decode("latin-1")), tls.server) as server:
        wire = Wire(server.port)
        answer = await fetched("https://files.example.com/", resolver=resolver, network=wire, ssl_context=tls.client)

    assert answer == "refused"
    assert wire.connected == [(PUBLIC, 443)] * (hops + 1)


async def test_a_redirect_to_itself_is_resolved_and_checked_anew(tls: Certificates):
    resolver = names(files_example_com=[[PUBLIC], ["127.0.0.1"]])
    async with a_server(leading("https://files.example.com/again"), tls.server) as server:
        wire = Wire(server.port)
        answer = await fetched("https://files.example.com/", resolver=resolver, network=wire, ssl_context=tls.client)

    assert (answer, wire.connected) == ("refused", [(PUBLIC, 443)])


@pytest.mark.parametrize("locations", [["/a"] * 4, ["/a", "/b"] * 2, [None] * 4, [""] * 4], ids=str)
async def test_a_circle_ends_after_three_redirects(tls: Certificates, locations: list[str | None]):
    async with a_server(leading(*locations), tls.server) as server:
        wire = Wire(server.port)
        answer = await fetched(
            "https://files.example.com/",
            resolver=names(files_example_com=[PUBLIC]),
            network=wire,
            ssl_context=tls.client,
        )

    assert (answer, len(server.requests)) == ("failed", 4)


@pytest.mark.parametrize("location", ["/elsewhere", "https://127.0.0.1/", "https://files.example.com/again"])
async def test_a_webhook_follows_no_redirect_wherever_it_leads(tls: Certificates, location: str):
    async with a_server(leading(location), tls.server) as server:
        wire = Wire(server.port)
        sender = WebhookSender(resolver=names(files_example_com=[PUBLIC]), network=wire, ssl_context=tls.client)
        reply = await sender.post("https://files.example.com/", b"{}", {}, 5)

    assert (reply.status, reply.delivered, len(server.requests)) == (302, False, 1)


# --- answers that never end, or are larger than they look ----------------------------------------------------------


def local(port: int) -> dict[Sent, dict[str, Any]]:
    """What each client needs to reach a server on loopback."""
    return {
        fetched: {"rules": AddressRules(frozenset({f"127.0.0.1:{port}"}))},
        posted: {"allow_private": True},
    }


async def dripping_headers(writer: Any, target: str) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X: y\r\n")
        await asyncio.sleep(0.01)


async def endless_hints(writer: Any, target: str) -> None:
    while True:
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await asyncio.sleep(0.01)


async def silence(writer: Any, target: str) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("respond", [dripping_headers, endless_hints, silence])
async def test_headers_that_never_end_are_given_up(sent: Sent, respond: Any):
    async with a_server(respond) as server:
        answer = await sent(f"http://127.0.0.1:{server.port}/", within_s=0.2, **local(server.port)[sent])

    assert answer == "failed"


async def test_headers_that_are_too_long_are_given_up(sent: Sent):
    def respond(writer: Any, target: str) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + (b"X: " + b"a" * 1000 + b"\r\n") * 200)

    async with a_server(respond) as server:
        answer = await sent(f"http://127.0.0.1:{server.port}/", **local(server.port)[sent])

    assert answer == "failed"


BOMB = gzip.compress(bytes(50_000_000))


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "br", "deflate", "zstd", "gzip, gzip"])
async def test_a_compressed_file_is_not_unpacked(encoding: str):
    def respond(writer: Any, target: str) -> None:
        writer.write(plain(BOMB, Content_Encoding=encoding))

    async with a_server(respond) as server:
        answer = await fetched(f"http://127.0.0.1:{server.port}/", **local(server.port)[fetched])

    assert answer == "failed"
    assert b"accept-encoding: identity" in server.requests[0].lower()


async def test_a_compressed_answer_to_a_webhook_is_not_unpacked():
    def respond(writer: Any, target: str) -> None:
        writer.write(plain(BOMB, Content_Encoding="gzip"))

    async with a_server(respond) as server:
        reply = await WebhookSender(allow_private=True).post(f"http://127.0.0.1:{server.port}/", b"{}", {}, 5)

    assert reply.delivered
    assert len(reply.head) <= 1024


async def test_a_transfer_coding_other_than_chunked_is_no_answer():
    def respond(writer: Any, target: str) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n" + BOMB)
        writer.close()

    async with a_server(respond) as server:
        assert await fetched(f"http://127.0.0.1:{server.port}/", **local(server.port)[fetched]) == "failed"


async def test_a_size_that_is_a_lie_does_not_lift_the_cap():
    def respond(writer: Any, target: str) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"4000\r\n" + bytes(0x4000))
        writer.close()

    async with a_server(respond) as server:
        fetcher = GuardedFetcher(**local(server.port)[fetched])
        with pytest.raises(FileTooBig):
            await fetcher.fetch(
                f"http://127.0.0.1:{server.port}/", io.BytesIO(), bytes_max=10_000, time_max=timedelta(seconds=5)
            )
