"""Fetches files from addresses that providers and customers name, without letting them reach anything private."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from datetime import timedelta
from ssl import SSLContext
from typing import BinaryIO
from urllib.parse import unquote_to_bytes, urljoin

import httpcore

from adapters.pinned_network import FAILURES, Resolver, pinned_pool, system_resolver, wire_url
from domain.addresses import PUBLIC_ONLY, AddressRules
from domain.assets import Download
from domain.errors import AddressRefused, FileTooBig, ProviderInvalidOutput

REDIRECTS_MAX = 3
CONNECT_MAX = timedelta(seconds=10)

_INLINE_BYTES = 2**20  # up to this much is hashed and written on the event loop, about a millisecond's work
_HEADERS = (("Accept-Encoding", "identity"), ("User-Agent", "BabySea/1.0"))
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)


class GuardedFetcher:
    """One for the life of the process; connections are kept alive and shared."""

    def __init__(
        self,
        rules: AddressRules = PUBLIC_ONLY,
        *,
        idle_max: timedelta = timedelta(seconds=20),
        connections_max: int = 64,
        resolver: Resolver = system_resolver,
        network: httpcore.AsyncNetworkBackend | None = None,
        ssl_context: SSLContext | None = None,
    ) -> None:
        self._rules = rules
        self._timeouts = {"connect": CONNECT_MAX.total_seconds(), "read": idle_max.total_seconds()}
        self._pool = pinned_pool(
            self._rules, connections_max=connections_max, resolver=resolver, network=network, ssl_context=ssl_context
        )

    async def fetch(
        self,
        url: str,
        into: BinaryIO,
        *,
        bytes_max: int,
        time_max: timedelta,
        headers: Mapping[str, str] | None = None,
    ) -> Download:
        """Redirects are followed here, at most three, each checked like the first and none to a lower scheme. From the
        first that leaves the origin of `url` on, `headers` are not sent."""
        sink = _Sink(into, bytes_max)
        try:
            async with asyncio.timeout(time_max.total_seconds()):
                if url[:5].lower() == "data:":
                    content_type = await _decode(url, sink)
                else:
                    content_type = await self._follow(url, sink, headers or {})
                return await sink.finish(content_type)
        except TimeoutError as error:
            raise ProviderInvalidOutput("The output could not be fetched in time.") from error
        except FAILURES as error:
            raise ProviderInvalidOutput("The output could not be fetched: the connection failed.") from error

    async def aclose(self) -> None:
        await self._pool.aclose()

    async def _follow(self, url: str, sink: _Sink, trusted: Mapping[str, str]) -> str | None:
        address = self._rules.parse(url)
        for _ in range(REDIRECTS_MAX + 1):
            async with self._pool.stream(
                "GET",
                wire_url(address),
                headers=[*trusted.items(), ("Host", address.authority), *_HEADERS],
                extensions={"timeout": self._timeouts},
            ) as response:
                headers = {name.lower(): value.decode("latin-1") for name, value in response.headers}
                if response.status not in _REDIRECTS:
                    await _receive(response, headers, sink)
                    return _media_type(headers.get(b"content-type", ""))
            url = urljoin(url, headers.get(b"location", ""))
            following = self._rules.parse(url)
            if address.scheme == "https" != following.scheme:
                raise AddressRefused("The URL redirects from https to http.")
            if (following.scheme, following.authority) != (address.scheme, address.authority):
                trusted = {}
            address = following
        raise ProviderInvalidOutput("The output could not be fetched: too many redirects.")


async def _receive(response: httpcore.Response, headers: dict[bytes, str], sink: _Sink) -> None:
    if response.status != 200:
        raise ProviderInvalidOutput(f"The output could not be fetched: its server answered {response.status}.")
    if headers.get(b"content-encoding", "identity").strip().lower() != "identity":
        raise ProviderInvalidOutput("The output came compressed, which was not asked for.")
    length = headers.get(b"content-length", "")
    if length.isdecimal() and int(length) > sink.bytes_max:
        raise _too_large(sink.bytes_max)
    async for chunk in response.aiter_stream():
        await sink.take(chunk)


async def _decode(url: str, sink: _Sink) -> str | None:
    """`data:[type][;base64],content`: up to half as large again as its content."""
    head, comma, content = url[5:].partition(",")
    if not comma:
        raise AddressRefused("The data URL is malformed.")
    media_type, *options = head.split(";")
    if len(content) > 3 * sink.bytes_max + 4:  # three characters a byte when everything is percent-encoded
        raise _too_large(sink.bytes_max)
    encoded = "base64" in (option.strip().lower() for option in options)
    try:
        data = await asyncio.to_thread(_decoded, content, encoded)
    except (binascii.Error, ValueError) as error:
        raise ProviderInvalidOutput("The output is a data URL that does not decode.") from error
    await sink.take(data)
    return _media_type(media_type)


def _decoded(content: str, encoded: bool) -> bytes:
    return base64.b64decode(content, validate=True) if encoded else unquote_to_bytes(content)


def _media_type(value: str) -> str | None:
    media_type = value.partition(";")[0].strip().lower()
    return media_type if _MEDIA_TYPE.fullmatch(media_type) and len(media_type) <= 100 else None


def _too_large(bytes_max: int) -> FileTooBig:
    return FileTooBig(f"The output is larger than {bytes_max} bytes.")


class _Sink:
    """Counts, hashes and writes what arrives; large pieces in a thread, so that other requests go on."""

    def __init__(self, into: BinaryIO, bytes_max: int) -> None:
        self._into, self.bytes_max = into, bytes_max
        self._size, self._hash, self._waiting = 0, hashlib.sha256(), bytearray()

    async def take(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self.bytes_max:
            raise _too_large(self.bytes_max)
        self._waiting += data
        if len(self._waiting) >= _INLINE_BYTES:
            waiting, self._waiting = self._waiting, bytearray()
            await asyncio.to_thread(self._write, waiting)

    async def finish(self, content_type: str | None) -> Download:
        self._write(self._waiting)
        return Download(size_bytes=self._size, sha256=self._hash.hexdigest(), content_type=content_type)

    def _write(self, data: bytearray) -> None:
        self._hash.update(data)
        self._into.write(data)
