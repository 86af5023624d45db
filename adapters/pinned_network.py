"""Connections for URLs from outside: each name is resolved here, every address of it checked, one of them connected to.

TLS and HTTP above still speak to the name. What was checked is what is connected to, whatever the name says later; a
kept-alive connection stays with the address it was opened to.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from ssl import SSLContext

import httpcore

from adapters.tls import trusted
from domain.addresses import Address, AddressRules, is_ip

ADDRESSES_TRIED_MAX = 3
RESOLVING_MAX = 64
KEEPALIVE = timedelta(seconds=15)

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
FAILURES = (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol)


class NameUnresolvedError(httpcore.ConnectError):
    """The name has no address."""


def new_resolver() -> Resolver:
    """Answers all addresses of a name, in the order to try them. Raises OSError.

    In threads of its own: a name whose server does not answer keeps one busy long after we have given up on it.
    """
    threads = ThreadPoolExecutor(RESOLVING_MAX, thread_name_prefix="resolve")

    async def resolve(host: str, port: int) -> Sequence[str]:
        ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(threads, ask)
        return [str(address[0]) for *_, address in found]

    return resolve


system_resolver = new_resolver()


def pinned_pool(
    rules: AddressRules,
    *,
    connections_max: int,
    resolver: Resolver = system_resolver,
    network: httpcore.AsyncNetworkBackend | None = None,
    ssl_context: SSLContext | None = None,
) -> httpcore.AsyncConnectionPool:
    """A connection pool that can only reach what `rules` allow. `network` opens the sockets."""
    return httpcore.AsyncConnectionPool(
        ssl_context=ssl_context or trusted(),
        max_connections=connections_max,
        max_keepalive_connections=connections_max // 2,
        keepalive_expiry=KEEPALIVE.total_seconds(),
        network_backend=_PinnedNetwork(rules, resolver, network or httpcore.AnyIOBackend()),
    )


def wire_url(address: Address) -> httpcore.URL:
    """The checked address and nothing else: it is not parsed a second time."""
    return httpcore.URL(
        scheme=address.scheme.encode(), host=address.host.encode(), port=address.port, target=address.target.encode()
    )


class _PinnedNetwork(httpcore.AsyncNetworkBackend):
    def __init__(self, rules: AddressRules, resolver: Resolver, network: httpcore.AsyncNetworkBackend) -> None:
        self._rules, self._resolver, self._network = rules, resolver, network

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Raises AddressRefused when any address of the host is not allowed."""
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._checked(host, port)
                return await self._first_open(addresses, port, local_address, socket_options)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout from error

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)

    async def _checked(self, host: str, port: int) -> Sequence[str]:
        if is_ip(host):
            addresses: Sequence[str] = [host]
        else:
            try:
                addresses = list(dict.fromkeys(await self._resolver(host, port)))
            except (OSError, UnicodeError) as error:
                raise NameUnresolvedError(host) from error
        for address in addresses:
            self._rules.check_ip(address, host, port)
        return addresses

    async def _first_open(
        self,
        addresses: Sequence[str],
        port: int,
        local_address: str | None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None,
    ) -> httpcore.AsyncNetworkStream:
        failure: httpcore.ConnectError = NameUnresolvedError("no address")
        for address in addresses[:ADDRESSES_TRIED_MAX]:
            try:
                return await self._network.connect_tcp(
                    address, port, local_address=local_address, socket_options=socket_options
                )
            except httpcore.ConnectError as error:
                failure = error
        raise failure
