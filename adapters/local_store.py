"""Assets in a folder, served by our own API at signed addresses. The embedded default; an S3 store in production."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
import re
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

from domain.errors import StorageUnavailable

_INCOMING = ".incoming"  # never a part of a key
_LEFTOVER_S = 24 * 3600
_CHUNK_BYTES = 2**20
_SIGNATURE_BYTES = 16
_SEGMENT = r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}"
_KEY = re.compile(rf"{_SEGMENT}(/{_SEGMENT}){{0,15}}")


class LocalStore:
    """Each file is written whole under another name, flushed to disk and then linked: it is there entirely or not."""

    def __init__(self, root: Path, public_url: str, key: bytes, *, clock: Callable[[], float] = time.time) -> None:
        """`public_url` is where the API is reached; `key` signs addresses."""
        self._root, self._public_url, self._key, self._clock = root, public_url.rstrip("/"), key, clock
        self.name = root.resolve().name

    async def put_once(self, key: str, file: BinaryIO, *, size_bytes: int, sha256: str, content_type: str) -> None:  # noqa: ARG002
        """The type is in the key's extension."""
        target = self.path(key)
        try:
            await asyncio.to_thread(self._put, target, file, size_bytes, sha256)
        except OSError as error:
            raise StorageUnavailable("The artifact folder cannot be written.") from error

    async def url(self, key: str, *, expires_in: timedelta) -> str:
        expires = int(self._clock() + expires_in.total_seconds())
        return f"{self._public_url}/files/{_checked(key)}?expires={expires}&signature={self._signature(key, expires)}"

    async def delete(self, key: str) -> bool:
        target = self.path(key)
        try:
            return await asyncio.to_thread(self._delete, target)
        except OSError as error:
            raise StorageUnavailable("The artifact folder cannot be written.") from error

    async def delete_folder(self, folder: str) -> int:
        target = self.path(folder)
        try:
            return await asyncio.to_thread(self._delete_folder, target)
        except OSError as error:
            raise StorageUnavailable("The artifact folder cannot be written.") from error

    async def check(self) -> None:
        try:
            await asyncio.to_thread(self._check)
        except OSError as error:
            raise StorageUnavailable("The artifact folder cannot be written.") from error

    def verify(self, key: str, expires: int, signature: str, now: float) -> bool:
        """Whether `url` made this address and it has not expired. Then, and only then, `path` may be served."""
        if not _KEY.fullmatch(key) or now >= expires:
            return False
        return hmac.compare_digest(self._signature(key, expires).encode(), signature.encode(errors="replace"))

    def path(self, key: str) -> Path:
        """Where the object is, whether or not it exists. Raises ValueError for what is not a key."""
        return self._root / _checked(key)

    def _signature(self, key: str, expires: int) -> str:
        mac = hashlib.blake2b(f"file|{key}|{expires}".encode(), key=self._key, digest_size=_SIGNATURE_BYTES).digest()
        return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()

    # in threads from here on

    def _put(self, target: Path, file: BinaryIO, size_bytes: int, sha256: str) -> None:
        with self._incoming() as incoming:
            file.seek(0)
            if _copied(file, incoming) != (size_bytes, sha256):
                raise StorageUnavailable("The file changed on its way into the store.")
            incoming.flush()
            os.fsync(incoming.fileno())
            for _ in range(3):  # a delete may take the emptied folder away between the two steps
                target.parent.mkdir(parents=True, exist_ok=True)
                with suppress(FileNotFoundError):
                    _link(Path(incoming.name), target, sha256)
                    return
        raise StorageUnavailable("The artifact folder changes too fast.")

    def _incoming(self) -> tempfile._TemporaryFileWrapper[bytes]:
        folder = self._root / _INCOMING
        folder.mkdir(parents=True, exist_ok=True)
        return tempfile.NamedTemporaryFile(dir=folder)

    def _delete(self, target: Path) -> bool:
        try:
            target.unlink()
        except FileNotFoundError:
            return False
        self._remove_emptied(target.parent)
        return True

    def _delete_folder(self, folder: Path) -> int:
        """Every file of the tree. A part of it that is gone meanwhile is as good as deleted."""
        deleted = 0
        for parent, _, names in os.walk(folder, topdown=False, onerror=_raise_unless_gone):
            for name in names:
                with suppress(FileNotFoundError):
                    (Path(parent) / name).unlink()
                    deleted += 1
            self._remove_emptied(Path(parent))
        return deleted

    def _remove_emptied(self, folder: Path) -> None:
        """The folder, and those it is in, up to the first that is not empty."""
        while folder != self._root:
            try:
                folder.rmdir()
            except OSError:  # not empty, or gone
                return
            folder = folder.parent

    def _check(self) -> None:
        with self._incoming() as probe:
            probe.write(b"probe")
            probe.flush()
        for leftover in (self._root / _INCOMING).iterdir():  # of a process that was killed while it wrote
            with suppress(FileNotFoundError):
                if self._clock() - leftover.stat().st_mtime > _LEFTOVER_S:
                    leftover.unlink()


def _checked(key: str) -> str:
    """A key has no empty, dotted or absolute part, so it cannot leave the folder."""
    if not _KEY.fullmatch(key):
        raise ValueError("not an asset key")
    return key


def _raise_unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _copied(source: BinaryIO, into: tempfile._TemporaryFileWrapper[bytes]) -> tuple[int, str]:
    size, digest = 0, hashlib.sha256()
    while chunk := source.read(_CHUNK_BYTES):
        size += len(chunk)
        digest.update(chunk)
        into.write(chunk)
    return size, digest.hexdigest()


def _link(incoming: Path, target: Path, sha256: str) -> None:
    """Publish under the final name, once. The same content again is a no-op."""
    try:
        os.link(incoming, target)
    except FileExistsError:
        with target.open("rb") as present:
            if hashlib.file_digest(present, "sha256").hexdigest() != sha256:
                raise StorageUnavailable("Another file is already stored under this key.") from None
        return
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
