"""Sends our webhooks to the addresses of customers, under the same address rules as everything from outside."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from ssl import SSLContext

import httpcore

from adapters.pinned_network import FAILURES, NameUnresolvedError, Resolver, new_resolver, pinned_pool, wire_url
from domain.addresses import NOT_PUBLIC, AddressRules
from domain.errors import AddressRefused

REPLY_BYTES_MAX = 64 * 2**10
HEAD_BYTES = 2**10
RESOLVED_WITHIN_S = 3.0

_REFUSED = "address refused: "
_resolver = new_resolver()  # customers choose the names, and how long it takes to resolve them


@dataclass(frozen=True)
class WebhookReply:
    """What came back. Delivered means: `status` is 2xx. Without a status, `error` says why in words fit to show."""

    status: int | None
    head: str = ""  # the first kilobyte of the answer
    error: str | None = None

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class WebhookSender:
    """One for the life of the process; connections are kept alive and shared."""

    def __init__(
        self,
        allow_private: bool = False,
        *,
        connections_max: int = 100,
        resolver: Resolver = _resolver,
        network: httpcore.AsyncNetworkBackend | None = None,
        ssl_context: SSLContext | None = None,
    ) -> None:
        """`allow_private`: any address, any port, http too. Development only."""
        self._rules = AddressRules(all_private=allow_private)
        self._pool = pinned_pool(
            self._rules, connections_max=connections_max, resolver=resolver, network=network, ssl_context=ssl_context
        )

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> WebhookReply:
        """One request, exactly these bytes, no redirects, all within the limit. Raises nothing for what they did."""
        received: list[WebhookReply] = []
        try:
            async with asyncio.timeout(timeout_s):
                await self._exchange(url, body, headers, received)
        except TimeoutError:
            received.append(WebhookReply(None, error="timed out"))
        except AddressRefused as refused:
            received.append(WebhookReply(None, error=f"{_REFUSED}{refused.message}"))
        except FAILURES as failure:
            received.append(WebhookReply(None, error=_words(failure)))
        return received[0]  # an answer whose body broke off or came too slowly is an answer

    async def aclose(self) -> None:
        await self._pool.aclose()

    async def _exchange(self, url: str, body: bytes, headers: Mapping[str, str], received: list[WebhookReply]) -> None:
        address = self._rules.parse(url)
        fixed = {"Host": address.authority, "Accept-Encoding": "identity", "Content-Length": str(len(body))}
        async with self._pool.stream(
            "POST", wire_url(address), headers=[*{**headers, **fixed}.items()], content=body
        ) as response:
            received.append(WebhookReply(response.status))
            reply = bytearray()
            async for chunk in response.aiter_stream():
                reply += chunk
                received[0] = WebhookReply(response.status, _text(reply[:HEAD_BYTES]))
                if len(reply) >= REPLY_BYTES_MAX:
                    break


class AddressCheck:
    """Whether webhooks may go to an address: at its registration. Each attempt looks again."""

    def __init__(self, allow_private: bool = False, *, resolver: Resolver = _resolver) -> None:
        self._rules = AddressRules(all_private=allow_private)
        self._resolver = resolver

    async def __call__(self, url: str) -> None:
        """Raises AddressRefused. A name that does not resolve, or not yet, is let pass."""
        address = self._rules.parse(url)
        try:
            async with asyncio.timeout(RESOLVED_WITHIN_S):
                found = await self._resolver(address.host, address.port)
        except (OSError, UnicodeError, TimeoutError):
            return
        for ip in found:
            self._rules.check_ip(ip, address.host, address.port)


def _text(data: bytes | bytearray) -> str:
    return data.decode(errors="replace").replace("\0", "\ufffd")  # a database text cannot hold NUL


def _words(failure: BaseException) -> str:
    if isinstance(failure, NameUnresolvedError):  # as a private one, or the log would tell which names exist inside
        return f"{_REFUSED}{NOT_PUBLIC}"
    if isinstance(failure, httpcore.ConnectError):
        return "TLS failed" if isinstance(failure.__context__, ssl.SSLError) else "could not connect"
    return "timed out" if isinstance(failure, httpcore.TimeoutException) else "the connection broke off"
