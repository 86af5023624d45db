"""Small HTTP servers on loopback that answer byte by byte as told, and a wire that makes them look public."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpcore
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Respond = Callable[[asyncio.StreamWriter, str], Awaitable[None] | None]  # the target of the request


@dataclass
class Server:
    port: int
    requests: list[bytes] = field(default_factory=list)  # head and body of each
    connections: int = 0
    server_names: list[str | None] = field(default_factory=list)  # as TLS named them


@asynccontextmanager
async def a_server(respond: Respond, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Answers each request by `respond`, which writes the whole answer; keeps the connection unless it closes it."""
    seen = Server(0)
    tasks: set[asyncio.Task[None]] = set()
    if tls is not None:
        tls.sni_callback = lambda _socket, name, _context: seen.server_names.append(name)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        seen.connections += 1
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
                )
                seen.requests.append(head + await reader.readexactly(length))
                answered = respond(writer, head.split(b" ")[1].decode())
                if answered is not None:
                    await answered
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=tls)
    seen.port = server.sockets[0].getsockname()[1]
    try:
        yield seen
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def plain(body: bytes = b"", status: int = 200, **headers: str) -> bytes:
    """A whole answer."""
    named = {"Content-Length": str(len(body))} | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status} Said", *(f"{name}: {value}" for name, value in named.items()), "", ""]
    return "\r\n".join(lines).encode() + body


class Wire(httpcore.AsyncNetworkBackend):
    """Connects to loopback whatever the address, and keeps what it was asked for."""

    def __init__(self, port: int) -> None:
        self._port, self._network = port, httpcore.AnyIOBackend()
        self.connected: list[tuple[str, int]] = []
        self.dead: set[str] = set()

    async def connect_tcp(self, host, port, timeout=None, local_address=None, socket_options=None):  # noqa: ASYNC109
        self.connected.append((host, port))
        if host in self.dead:
            raise httpcore.ConnectError("refused")
        return await self._network.connect_tcp("127.0.0.1", self._port)


def names(**addresses: Sequence[str] | list[Sequence[str]]):
    """A resolver. Dots are underscores; a list of lists answers differently each time."""
    queues = {name.replace("_", "."): found for name, found in addresses.items()}
    asked: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        found = queues.get(host)
        if found is None:
            raise OSError("unknown name")
        return found.pop(0) if found and isinstance(found[0], list) else found

    resolve.asked = asked
    return resolve


@dataclass(frozen=True)
class Certificates:
    server: ssl.SSLContext
    client: ssl.SSLContext


def certificates(folder: Path, name: str) -> Certificates:
    """A server certificate for `name` and a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    return Certificates(server, ssl.create_default_context(cafile=str(pem)))
