"""Where a request comes from: the socket's peer, or what our own proxies say about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from starlette.types import Scope

from domain.networks import Network, address_of, contains


class ClientAddress:
    """Reads the client's address. Without trusted proxies X-Forwarded-For is never looked at: anyone may write it."""

    def __init__(self, trusted_proxies: Iterable[Network] = ()) -> None:
        self._trusted = tuple(trusted_proxies)

    def of(self, scope: Scope) -> str | None:
        """The right-most hop that is not a proxy of ours. None where the peer has no address, as on a Unix socket.

        Each of our proxies appended the peer it saw, so what stands right of the first stranger is ours. A hop that is
        no address ends the walk: then it is the last of our proxies that is known.
        """
        client = scope.get("client")
        found = address_of(client[0]) if client else None
        if found is None or not contains(self._trusted, found):
            return str(found) if found else None
        for text in _hops_from_the_right(scope):
            hop = address_of(_without_port(text))
            if hop is None:
                break
            found = hop
            if not contains(self._trusted, hop):
                break
        return str(found)


def _hops_from_the_right(scope: Scope) -> Iterator[str]:
    """A header may come in several lines, which are one list."""
    lines = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
    yield from (hop.strip() for hop in reversed(",".join(lines).split(",")))


def _without_port(hop: str) -> str:
    """Some proxies write `192.0.2.1:5678` or `[2001:db8::1]:5678`."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
