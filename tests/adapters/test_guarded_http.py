import asyncio
import gzip
import hashlib
import io
from datetime import timedelta

import pytest

from adapters.guarded_http import GuardedFetcher
from domain.addresses import AddressRules
from domain.assets import Download
from domain.errors import AddressRefused, ProviderInvalidOutput
from tests.support.servers import Certificates, Wire, a_server, certificates, names, plain

PUBLIC, OTHER_PUBLIC = "93.184.216.34", "93.184.216.35"
BODY = b"\x89PNG and so on"
LIMITS = {"bytes_max": 10_000, "time_max": timedelta(seconds=5)}


@pytest.fixture(scope="module")
def tls(tmp_path_factory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("tls"), "files.example.com")


async def fetch(fetcher: GuardedFetcher, url: str, **limits) -> tuple[Download, bytes]:
    file = io.BytesIO()
    return await fetcher.fetch(url, file, **LIMITS | limits), file.getvalue()


def local(server, **options) -> GuardedFetcher:
    """May fetch from the test server by its own address."""
    return GuardedFetcher(AddressRules(frozenset({f"127.0.0.1:{server.port}"})), **options)


def answering(*answers: bytes):
    """Gives the answers in turn, the last one for ever."""
    waiting = list(answers)

    def respond(writer, target):
        writer.write(waiting.pop(0) if len(waiting) > 1 else waiting[0])

    return respond


# --- what is fetched ----------------------------------------------------------------------------------------------


async def test_a_file_is_streamed_counted_and_hashed():
    async with a_server(answering(plain(BODY, Content_Type="Image/PNG; charset=x"))) as server:
        download, data = await fetch(local(server), f"http://127.0.0.1:{server.port}/x?y=1")

    assert data == BODY
    assert download == Download(len(BODY), hashlib.sha256(BODY).hexdigest(), "image/png")
    assert server.requests[0].startswith(b"GET /x?y=1 HTTP/1.1\r\n")
    assert b"accept-encoding: identity" in server.requests[0].lower()


async def test_a_large_file_is_written_in_pieces():
    body = bytes(range(256)) * 12_000
    async with a_server(answering(plain(body))) as server:
        download, data = await fetch(local(server), f"http://127.0.0.1:{server.port}/", bytes_max=len(body))

    assert data == body
    assert download.sha256 == hashlib.sha256(body).hexdigest()


async def test_connections_are_kept_alive_between_files():
    async with a_server(answering(plain(BODY))) as server:
        fetcher = local(server)
        for _ in range(3):
            await fetch(fetcher, f"http://127.0.0.1:{server.port}/")
        await fetcher.aclose()

    assert (len(server.requests), server.connections) == (3, 1)


@pytest.mark.parametrize(
    ("url", "data", "content_type"),
    [
        ("data:image/png;base64,aGVsbG8=", b"hello", "image/png"),
        ("DATA:,a%20b", b"a b", None),
        ("data:;base64,", b"", None),
    ],
)
async def test_a_data_url_is_decoded(url, data, content_type):
    download, decoded = await fetch(GuardedFetcher(), url)

    assert decoded == data
    assert (download.content_type, download.size_bytes) == (content_type, len(data))


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("data:image/png;base64", AddressRefused),
        ("data:image/png;base64,a", ProviderInvalidOutput),
        ("data:image/png;base64,aGVs bG8=", ProviderInvalidOutput),
        ("data:image/png;base64,aGVsbG8é", ProviderInvalidOutput),
        ("data:image/png;base64," + "AAAA" * 40, ProviderInvalidOutput),
        ("data:image/png;base64," + "AAAA" * 4000, ProviderInvalidOutput),
    ],
)
async def test_a_data_url_that_is_broken_or_too_large_is_refused(url, error):
    with pytest.raises(error):
        await fetch(GuardedFetcher(), url, bytes_max=100)


# --- where it may go ----------------------------------------------------------------------------------------------


async def test_the_connection_goes_to_the_checked_address_while_tls_and_host_say_the_name(tls):
    async with a_server(answering(plain(BODY)), tls.server) as server:
        wire = Wire(server.port)
        fetcher = GuardedFetcher(resolver=names(files_example_com=[PUBLIC]), network=wire, ssl_context=tls.client)
        _, data = await fetch(fetcher, "https://files.example.com/x")

    assert data == BODY
    assert wire.connected == [(PUBLIC, 443)]
    assert server.server_names == ["files.example.com"]
    assert b"\r\nHost: files.example.com\r\n" in server.requests[0]


async def test_a_certificate_of_another_name_is_refused(tls):
    async with a_server(answering(plain(BODY)), tls.server) as server:
        fetcher = GuardedFetcher(
            resolver=names(other_example_com=[PUBLIC]), network=Wire(server.port), ssl_context=tls.client
        )
        with pytest.raises(ProviderInvalidOutput):
            await fetch(fetcher, "https://other.example.com/x")

    assert server.requests == []


async def test_a_name_is_resolved_once_per_connection_so_that_rebinding_gains_nothing(tls):
    resolver = names(files_example_com=[[PUBLIC], ["127.0.0.1"]])
    async with a_server(answering(plain(BODY), plain(BODY, Connection="close")), tls.server) as server:
        wire = Wire(server.port)
        fetcher = GuardedFetcher(resolver=resolver, network=wire, ssl_context=tls.client)
        await fetch(fetcher, "https://files.example.com/x")
        await fetch(fetcher, "https://files.example.com/x")  # the kept connection: still the checked address
        with pytest.raises(AddressRefused):  # a new connection: the new answer is checked again
            await fetch(fetcher, "https://files.example.com/x")

    assert wire.connected == [(PUBLIC, 443)]
    assert len(resolver.asked) == 2


async def test_the_next_address_is_tried_when_one_is_dead(tls):
    async with a_server(answering(plain(BODY)), tls.server) as server:
        wire = Wire(server.port)
        wire.dead = {PUBLIC}
        fetcher = GuardedFetcher(
            resolver=names(files_example_com=[PUBLIC, OTHER_PUBLIC]), network=wire, ssl_context=tls.client
        )
        await fetch(fetcher, "https://files.example.com/x")

    assert wire.connected == [(PUBLIC, 443), (OTHER_PUBLIC, 443)]


@pytest.mark.parametrize("found", [{}, {"gone_example_com": []}], ids=["unknown", "without an address"])
async def test_a_name_that_leads_nowhere_is_an_output_that_is_gone(found):
    with pytest.raises(ProviderInvalidOutput):
        await fetch(GuardedFetcher(resolver=names(**found), network=Wire(1)), "https://gone.example.com/")


async def test_a_resolver_that_hangs_is_given_up():
    async def hang(host, port):
        await asyncio.Event().wait()

    with pytest.raises(ProviderInvalidOutput):
        await fetch(GuardedFetcher(resolver=hang), "https://a.example.com/", time_max=timedelta(seconds=0.05))


async def test_a_private_host_may_be_named_and_the_system_resolves_it():
    async with a_server(answering(plain(BODY))) as server:
        fetcher = GuardedFetcher(AddressRules(frozenset({f"localhost:{server.port}"})))
        _, data = await fetch(fetcher, f"http://localhost:{server.port}/")

    assert data == BODY


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    async with a_server(answering(plain(BODY))) as server:
        _, data = await fetch(local(server), f"http://127.0.0.1:{server.port}/")

    assert data == BODY


# --- redirects ----------------------------------------------------------------------------------------------------


def redirect(location: str, status: int = 302) -> bytes:
    return plain(status=status, Location=location)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_followed_relative_to_where_it_came_from(status):
    async with a_server(answering(redirect("../y?z=1", status), plain(BODY))) as server:
        _, data = await fetch(local(server), f"http://127.0.0.1:{server.port}/a/b/x")

    assert data == BODY
    assert server.requests[1].startswith(b"GET /a/y?z=1 ")


async def test_a_redirect_never_leads_from_https_to_http(tls):
    async with a_server(answering(plain(b"secret"))) as inner:
        location = f"http://127.0.0.1:{inner.port}/"
        async with a_server(answering(redirect(location)), tls.server) as outer:
            fetcher = GuardedFetcher(
                AddressRules(frozenset({f"127.0.0.1:{inner.port}"})),
                resolver=names(files_example_com=[PUBLIC]),
                network=Wire(outer.port),
                ssl_context=tls.client,
            )
            with pytest.raises(AddressRefused, match="https to http"):
                await fetch(fetcher, "https://files.example.com/x")

    assert inner.requests == []


async def test_headers_go_to_the_origin_that_was_asked_and_to_no_other():
    async with a_server(answering(plain(BODY))) as other:
        moved = redirect(f"http://127.0.0.1:{other.port}/")
        async with a_server(answering(redirect("/again"), moved)) as server:
            fetcher = GuardedFetcher(AddressRules(frozenset(f"127.0.0.1:{one.port}" for one in (server, other))))
            await fetch(fetcher, f"http://127.0.0.1:{server.port}/", headers={"Authorization": "Bearer secret"})

    assert [b"Bearer secret" in request for request in server.requests] == [True, True]
    assert [b"Bearer secret" in request for request in other.requests] == [False]


async def test_three_redirects_are_followed_and_a_fourth_is_not():
    async with a_server(answering(*[redirect("/x")] * 3, plain(BODY))) as server:
        _, data = await fetch(local(server), f"http://127.0.0.1:{server.port}/")
        assert data == BODY
    async with a_server(answering(redirect("/x"))) as server:
        with pytest.raises(ProviderInvalidOutput, match="redirects"):
            await fetch(local(server), f"http://127.0.0.1:{server.port}/")

    assert len(server.requests) == 4


# --- caps and broken answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [204, 206, 304, 404, 410, 500])
async def test_any_other_status_is_an_output_that_is_gone(status):
    async with a_server(answering(plain(status=status))) as server:
        with pytest.raises(ProviderInvalidOutput):
            await fetch(local(server), f"http://127.0.0.1:{server.port}/")


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(plain(bytes(101)), id="announced"),
        pytest.param(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + bytes(101), id="not announced"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n" + bytes(101) + b"\r\n0\r\n\r\n", id="chunked"
        ),
    ],
)
async def test_a_body_over_the_cap_is_given_up(reply):
    def respond(writer, target):
        writer.write(reply)
        writer.close()

    async with a_server(respond) as server:
        with pytest.raises(ProviderInvalidOutput, match="larger"):
            await fetch(local(server), f"http://127.0.0.1:{server.port}/", bytes_max=100)


async def test_an_announced_size_over_the_cap_is_refused_without_reading():
    def respond(writer, target):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")

    async with a_server(respond) as server:
        with pytest.raises(ProviderInvalidOutput, match="larger"):
            await fetch(local(server), f"http://127.0.0.1:{server.port}/")


async def test_an_endless_body_ends_at_the_cap():
    async def respond(writer, target):
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while not writer.is_closing():
            writer.write(bytes(65_536))
            await writer.drain()

    async with a_server(respond) as server:
        with pytest.raises(ProviderInvalidOutput, match="larger"):
            await fetch(local(server), f"http://127.0.0.1:{server.port}/", bytes_max=1_000_000)


@pytest.mark.parametrize("encoding", ["gzip", "br", "GZIP", "identity, gzip"])
async def test_a_decompression_bomb_is_not_unpacked(encoding):
    bomb = gzip.compress(bytes(5_000_000))
    async with a_server(answering(plain(bomb, Content_Encoding=encoding))) as server:
        with pytest.raises(ProviderInvalidOutput, match="compressed"):
            await fetch(local(server), f"http://127.0.0.1:{server.port}/")


async def test_a_body_that_stops_flowing_is_given_up():
    def respond(writer, target):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nstart")

    async with a_server(respond) as server:
        with pytest.raises(ProviderInvalidOutput):
            await fetch(local(server, idle_max=timedelta(seconds=0.05)), f"http://127.0.0.1:{server.port}/")


async def test_a_body_that_trickles_is_given_up_when_the_time_is_over():
    async def respond(writer, target):
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while True:
            writer.write(b".")
            await asyncio.sleep(0.01)

    async with a_server(respond) as server:
        with pytest.raises(ProviderInvalidOutput, match="in time"):
            await fetch(
                local(server), f"http://127.0.0.1:{server.port}/", bytes_max=10**9, time_max=timedelta(seconds=0.15)
            )


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", id="a body cut off"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe", id="a chunk cut off"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000, id="endless headers"),
        pytest.param(b"nonsense\r\n\r\n", id="not HTTP"),
        pytest.param(b"", id="nothing"),
    ],
)
async def test_a_broken_answer_is_an_invalid_output(reply):
    def respond(writer, target):
        writer.write(reply)
        writer.close()

    async with a_server(respond) as server:
        with pytest.raises(ProviderInvalidOutput):
            await fetch(local(server), f"http://127.0.0.1:{server.port}/")


async def test_a_closed_port_is_an_output_that_is_gone():
    async with a_server(answering(plain())) as server:
        fetcher = local(server)

    with pytest.raises(ProviderInvalidOutput):
        await fetch(fetcher, f"http://127.0.0.1:{server.port}/")


@pytest.mark.parametrize("url", ["http://files.example.com/", "https://127.0.0.1/", "ftp://x", ""])
async def test_an_address_that_must_not_be_fetched_is_refused(url):
    with pytest.raises(AddressRefused):
        await fetch(GuardedFetcher(network=Wire(1)), url)
