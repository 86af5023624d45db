"""The ports through which finished files are fetched from providers and kept in our object store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import BinaryIO, Protocol

from domain.generation import MediaType


@dataclass(frozen=True)
class Download:
    """A file that has been fetched whole."""

    size_bytes: int
    sha256: str  # lower-case hex
    content_type: str | None  # as the server said; what it really is, is sniffed


class Fetcher(Protocol):
    """The guarded HTTP client: public addresses only, resolved once and pinned, capped in size and time."""

    async def fetch(
        self,
        url: str,
        into: BinaryIO,
        *,
        bytes_max: int,
        time_max: timedelta,
        headers: Mapping[str, str] | None = None,
    ) -> Download:
        """Stream `url` into a file. `data:` URLs are decoded. `headers` go where `url` points and no further: a
        redirect to another origin does not get them.

        Raises AddressRefused for a URL that must not be fetched, FileTooBig, and ProviderInvalidOutput when it is gone,
        too slow or broken off.
        """


class ObjectStore(Protocol):
    """Where assets live. Objects are written once and never changed."""

    name: str  # of the bucket or the folder, without where it is

    async def put_once(self, key: str, file: BinaryIO, *, size_bytes: int, sha256: str, content_type: str) -> None:
        """Store the file under `key`, checked against `sha256`. The same key again with the same bytes is a no-op.

        Raises StorageUnavailable.
        """

    async def url(self, key: str, *, expires_in: timedelta) -> str:
        """A signed address that serves the object until it expires."""

    async def delete(self, key: str) -> bool:
        """True when there was something to delete. Raises StorageUnavailable."""

    async def delete_folder(self, folder: str) -> int:
        """Delete every object whose key begins with `folder` and a slash, and say how many there were.

        Raises StorageUnavailable; then some of them may be gone.
        """

    async def check(self) -> None:
        """Raises StorageUnavailable when the store cannot be used right now."""


BYTES_MAX = {MediaType.IMAGE: 64 * 2**20, MediaType.VIDEO: 2 * 2**30}
EXTENSIONS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "video/mp4": "mp4"}


def asset_key(region: str, account_id: str, generation_id: str, attempt_id: str, index: int, extension: str) -> str:
    """The attempt is part of the key, so that two attempts can never claim the same object."""
    return f"{generation_folder(region, account_id, generation_id)}/{attempt_id}/{index}.{extension}"


def generation_folder(region: str, account_id: str, generation_id: str) -> str:
    """Where all that was stored for a generation is, also by attempts that came to nothing."""
    return f"{region}/{account_id}/{generation_id}"
