import asyncio
import io
import socket
import threading
from datetime import timedelta

import pytest

from adapters.guarded_http import GuardedFetcher
from adapters.pinned_network import RESOLVING_MAX
from adapters.webhook_http import AddressCheck, WebhookReply, WebhookSender
from domain.errors import AddressRefused
from tests.support.servers import Wire, a_server, certificates, names, plain

PUBLIC = "93.184.216.34"
BODY = b'{"webhook_event":"webhook.test"}'
HEADERS = {"Content-Type": "application/json", "X-BabySea-Event": "webhook.test"}


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    return certificates(tmp_path_factory.mktemp("tls"), "hooks.example.com")


async def post(sender: WebhookSender, url: str, timeout_s: float = 5) -> WebhookReply:
    return await sender.post(url, BODY, HEADERS, timeout_s)


def saying(reply: bytes, close: bool = False):
    def respond(writer, target):
        writer.write(reply)
        if close:
            writer.close()

    return respond


async def test_exactly_the_given_bytes_are_posted_to_the_checked_address_under_its_name(tls):
    async with a_server(saying(plain(b"thanks")), tls.server) as server:
        wire = Wire(server.port)
        sender = WebhookSender(resolver=names(hooks_example_com=[PUBLIC]), network=wire, ssl_context=tls.client)
        reply = await post(sender, "https://hooks.example.com/in?x=1")

    assert reply == WebhookReply(200, "thanks")
    assert reply.delivered
    assert wire.connected == [(PUBLIC, 443)]
    head, _, sent = server.requests[0].partition(b"\r\n\r\n")
    assert sent == BODY
    assert head.startswith(b"POST /in?x=1 HTTP/1.1\r\n")
    assert b"X-BabySea-Event: webhook.test" in head
    assert b"Host: hooks.example.com" in head


async def test_one_connection_serves_several_deliveries():
    async with a_server(saying(plain())) as server:
        sender = WebhookSender(allow_private=True)
        for _ in range(3):
            await post(sender, f"http://127.0.0.1:{server.port}/")
        await sender.aclose()

    assert (len(server.requests), server.connections) == (3, 1)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_a_failure_and_is_not_followed(status):
    """12.5."""
    async with a_server(saying(plain(status=status, Location="/elsewhere"))) as server:
        reply = await post(WebhookSender(allow_private=True), f"http://127.0.0.1:{server.port}/")

    assert (reply.status, reply.delivered) == (status, False)
    assert len(server.requests) == 1


@pytest.mark.parametrize(("status", "delivered"), [(200, True), (204, True), (299, True), (400, False), (500, False)])
async def test_only_2xx_is_delivered(status, delivered):
    """12.5."""
    async with a_server(saying(plain(status=status))) as server:
        reply = await post(WebhookSender(allow_private=True), f"http://127.0.0.1:{server.port}/")

    assert (reply.status, reply.delivered) == (status, delivered)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/",
        "https://hooks.example.com:8443/",
        "https://user@hooks.example.com/",
        "https://127.0.0.1/",
        "https://[64:ff9b::7f00:1]/",
        "https://in.example.com/",
    ],
)
async def test_a_private_or_malformed_address_gets_nothing(url):
    """12.7: at each attempt."""
    wire = Wire(1)
    sender = WebhookSender(resolver=names(in_example_com=["10.0.0.1"]), network=wire)

    reply = await post(sender, url)

    assert reply.status is None
    assert reply.error.startswith("address refused: ")
    assert wire.connected == []


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("https://localhost/in", id="no public name"),
        pytest.param("https://10.0.0.1/in", id="a private address"),
        pytest.param("https://[64:ff9b::a00:1]/in", id="a translated address"),
        pytest.param("https://[2002:a00:1::1]/in", id="a 6to4 address"),
        pytest.param("https://224.0.0.1/in", id="a multicast address"),
        pytest.param("https://169.254.169.254/in", id="a link-local address"),
        pytest.param("http://hooks.example.com/in", id="not https"),
        pytest.param("https://hooks.example.com:8443/in", id="another port"),
        pytest.param("https://user:secret@hooks.example.com/in", id="credentials"),
        pytest.param("https://both.example.com/in", id="a name one of whose addresses is private"),
        pytest.param("https://hooks.example.com/" + "x" * 2023, id="2049 characters"),
    ],
)
async def test_an_address_is_checked_at_registration(url):
    """12.7."""
    check = AddressCheck(resolver=names(hooks_example_com=[PUBLIC], both_example_com=[PUBLIC, "10.0.0.1"]))

    with pytest.raises(AddressRefused):
        await check(url)


@pytest.mark.parametrize("host", ["hooks.example.com", PUBLIC, "not-yet.example.com"])
async def test_a_public_address_is_accepted_and_so_is_a_name_that_does_not_resolve_yet(host):
    await AddressCheck(resolver=names(hooks_example_com=[PUBLIC]))(f"https://{host}/in")


async def test_a_development_system_may_allow_private_addresses():
    await AddressCheck(allow_private=True)("http://127.0.0.1:9000/in")


async def test_the_first_kilobyte_is_kept_and_no_more_than_64_are_read():
    """12.5."""

    async def respond(writer, target):
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\na\0\xff")
        while not writer.is_closing():
            writer.write(b"b" * 10_000)
            await writer.drain()

    async with a_server(respond) as server:
        reply = await post(WebhookSender(allow_private=True), f"http://127.0.0.1:{server.port}/")

    assert reply.delivered
    assert reply.head == "a\ufffd\ufffd" + "b" * 1021


@pytest.mark.parametrize("ending", ["hang", "cut"])
async def test_an_answer_whose_body_does_not_end_is_an_answer(ending):
    def respond(writer, target):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        if ending == "cut":
            writer.close()

    async with a_server(respond) as server:
        reply = await post(WebhookSender(allow_private=True), f"http://127.0.0.1:{server.port}/", 0.2)

    assert reply == WebhookReply(200, "half")


async def test_an_endpoint_that_does_not_answer_is_given_up():
    async def respond(writer, target):
        await asyncio.Event().wait()

    async with a_server(respond) as server:
        reply = await post(WebhookSender(allow_private=True), f"http://127.0.0.1:{server.port}/", 0.05)

    assert reply == WebhookReply(None, error="timed out")


async def test_a_connection_that_breaks_off_is_told_so():
    async with a_server(saying(b"", close=True)) as server:
        url = f"http://127.0.0.1:{server.port}/"
        broken = await post(WebhookSender(allow_private=True), url)
    closed = await post(WebhookSender(allow_private=True), url)

    assert broken.error == "the connection broke off"
    assert closed.error == "could not connect"


async def test_nobody_learns_from_the_log_which_names_exist_inside():
    sender = WebhookSender(resolver=names(in_example_com=["10.0.0.1"], none_example_com=[]))

    replies = [await post(sender, f"https://{name}.example.com/") for name in ("in", "gone", "none")]

    assert replies == [WebhookReply(None, error="address refused: The host has no public address.")] * 3


async def test_names_that_never_resolve_hold_up_webhooks_and_no_files(monkeypatch: pytest.MonkeyPatch):
    """A customer chooses the name of an endpoint, and whose server answers for it."""
    given_up = threading.Event()

    def getaddrinfo(host, port, **_):
        if host.endswith("tarpit.example.com"):
            given_up.wait(20)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    sender, fetcher = WebhookSender(), GuardedFetcher()
    try:
        urls = [f"https://{number}.tarpit.example.com/" for number in range(RESOLVING_MAX)]
        replies = await asyncio.gather(*(post(sender, url, timeout_s=0.3) for url in urls))
        with pytest.raises(AddressRefused):
            await fetcher.fetch("https://files.example.com/", io.BytesIO(), bytes_max=1, time_max=timedelta(seconds=5))
    finally:
        given_up.set()

    assert {reply.error for reply in replies} == {"timed out"}


async def test_a_wrong_certificate_is_told_so(tls):
    async with a_server(saying(plain()), tls.server) as server:
        sender = WebhookSender(
            resolver=names(other_example_com=[PUBLIC]), network=Wire(server.port), ssl_context=tls.client
        )
        reply = await post(sender, "https://other.example.com/")

    assert reply == WebhookReply(None, error="TLS failed")
    assert server.requests == []
