"""Input files on their way in: fetched by us, checked, copied, and handed on to providers under an address of ours.

It happens before credits are held, so what limits an account that would use us against others is its request limit,
and the slots below: ten fetches of one account and 64 of all at once. Only port 443 of public hosts can be asked, and
whatever goes wrong before there is a file to look at has the same answer, which tells nothing of what is behind.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import BinaryIO

from domain import input_files
from domain.assets import Fetcher, ObjectStore
from domain.errors import (
    AddressRefused,
    AdmissionUnknown,
    ConcurrencyLimitExceeded,
    ControlPlaneError,
    FailedAfterStart,
    FileTooBig,
    InputFileTooBig,
    InputFileUnreachable,
    ProviderInvalidOutput,
    StorageUnavailable,
)
from domain.generation import GenerationRequest
from domain.input_files import Place, Wanted
from domain.model import Catalog
from store import input_files as records
from store.connection import Pool, single

FILE_TIME_MAX = timedelta(seconds=10)
TIME_MAX = timedelta(seconds=20)  # for all files of a request together
COPY_TIME_MIN = timedelta(seconds=3)  # is left for the copies, however long the fetching took
ADMISSION_TIME_MIN = timedelta(seconds=5)  # and this for the admission that follows

ACCOUNT_SLOTS, SLOTS = 10, 64
SLOT_RETRY_AFTER = timedelta(seconds=5)

log = logging.getLogger("babysea.api")


class Slots:
    """How many files are fetched at once, of one account and of all. For the life of the process."""

    def __init__(self, account_max: int = ACCOUNT_SLOTS, all_max: int = SLOTS) -> None:
        self._account_max, self._all_max = account_max, all_max
        self._taken: Counter[str] = Counter()
        self._freed = asyncio.Condition()

    @asynccontextmanager
    async def one(self, account_id: str, *, within_s: float) -> AsyncIterator[None]:
        """Raises ConcurrencyLimitExceeded when none becomes free in time."""

        def free() -> bool:
            return self._taken[account_id] < self._account_max and self._taken.total() < self._all_max

        try:
            async with asyncio.timeout(within_s), self._freed:
                await self._freed.wait_for(free)
                self._taken[account_id] += 1
        except TimeoutError as error:
            raise ConcurrencyLimitExceeded(
                "Too many input files are being fetched; try again in a moment.", retry_after=SLOT_RETRY_AFTER
            ) from error
        try:
            yield
        finally:
            self._taken -= Counter({account_id: 1})  # drops an account that has none left
            async with self._freed:
                self._freed.notify_all()


@dataclass(frozen=True)
class _Checked:
    """A file that may be handed on, in a temporary file."""

    file: BinaryIO
    size_bytes: int
    sha256: str
    content_type: str


class InputFiles:
    """One for the life of the process."""

    def __init__(
        self,
        *,
        fetcher: Fetcher,
        objects: ObjectStore,
        pool: Pool,
        catalogue: Catalog,
        slots: Slots | None = None,
        file_time_max: timedelta = FILE_TIME_MAX,
        time_max: timedelta = TIME_MAX,
    ) -> None:
        self._fetcher, self._objects, self._pool, self._catalogue = fetcher, objects, pool, catalogue
        self._slots, self._file_time_max, self._time_max = slots or Slots(), file_time_max, time_max

    @asynccontextmanager
    async def kept(self, request: GenerationRequest) -> AsyncIterator[GenerationRequest]:
        """The request as it may be started: with copies of its files, and time left for its admission. One that slept
        on the way has none left: the sweep may have taken its copies.

        A refusal in the block removes the copies; whatever else happens there leaves them to the sweep. Raises the
        InputFileRefused family with the `field` and `index` of the first file that cannot be used,
        ConcurrencyLimitExceeded, StorageUnavailable.
        """
        places = input_files.addresses_of(request.params)
        if not places:
            yield request
            return
        model = self._catalogue.model(request.model)
        keys, copies = await self._copied(request, places, input_files.wanted(model, request.params))
        ready = input_files.handing_on(model, request, copies)
        admit_by = max(request.admit_by, time.time() + ADMISSION_TIME_MIN.total_seconds())
        latest = request.admit_by + (self._time_max + COPY_TIME_MIN + ADMISSION_TIME_MIN).total_seconds()
        try:
            yield replace(ready, admit_by=min(admit_by, latest))
        except (AdmissionUnknown, FailedAfterStart):
            raise  # the generation may exist
        except ControlPlaneError:
            await self._remove(keys)
            raise

    async def _copied(
        self, request: GenerationRequest, places: Mapping[str, Place], wanted: Mapping[str, Wanted]
    ) -> tuple[list[str], dict[str, str]]:
        """The keys of the copies, and the address of the copy for each of the customer's addresses."""
        ends_at = time.monotonic() + self._time_max.total_seconds()
        with ExitStack() as files:
            found = await asyncio.gather(
                *(
                    self._checked(request.account_id, address, place, wanted[address], files, ends_at)
                    for address, place in places.items()
                ),
                return_exceptions=True,  # the first file in the body that is wrong is named, not the first to fail
            )
            checked = [_usable(each) for each in found]
            keys = [
                input_files.copy_key(request.generation_id, number, each.content_type)
                for number, each in enumerate(checked)
            ]
            await self._store(request.generation_id, dict(zip(keys, checked, strict=True)), ends_at)
        life = input_files.address_life(request)
        addresses = [await self._objects.url(key, expires_in=life) for key in keys]
        return keys, dict(zip(places, addresses, strict=True))

    async def _checked(
        self, account_id: str, address: str, place: Place, wanted: Wanted, files: ExitStack, ends_at: float
    ) -> _Checked:
        patience_s = ends_at - self._file_time_max.total_seconds() - time.monotonic()  # then each has its whole time
        async with self._slots.one(account_id, within_s=patience_s):
            file: BinaryIO = files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - it outlives this block
            try:
                fetched = await self._fetcher.fetch(
                    address, file, bytes_max=input_files.BYTES_MAX, time_max=self._file_time_max
                )
            except FileTooBig as error:
                message = f"{place.name} has more than {input_files.BYTES_MAX // 2**20} MB."
                raise InputFileTooBig(message, details=place.details) from error
            except (AddressRefused, ProviderInvalidOutput) as error:
                raise _unreachable(place) from error
        content_type = await asyncio.to_thread(input_files.checked_type, file, fetched.size_bytes, place, wanted)
        return _Checked(file, fetched.size_bytes, fetched.sha256, content_type)

    async def _store(self, generation_id: str, copies: Mapping[str, _Checked], ends_at: float) -> None:
        """On the list first, then into the store. A copy that is given up may still arrive there: its row stays."""
        async with single(self._pool) as conn:
            await records.announce(conn, generation_id, list(copies))
        left = max(COPY_TIME_MIN.total_seconds(), ends_at - time.monotonic())
        try:
            async with asyncio.timeout(left):
                writes = (self._put(key, copy) for key, copy in copies.items())
                outcomes = await asyncio.gather(*writes, return_exceptions=True)
        except TimeoutError as error:
            raise StorageUnavailable("The object store is too slow.") from error
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    async def _put(self, key: str, copy: _Checked) -> None:
        await self._objects.put_once(
            key, copy.file, size_bytes=copy.size_bytes, sha256=copy.sha256, content_type=copy.content_type
        )

    async def _remove(self, keys: list[str]) -> None:
        """As far as it works; the sweep finds the rest on the list."""
        try:
            for key in keys:
                await self._objects.delete(key)
            async with single(self._pool) as conn:
                await records.forget(conn, keys)
        except ControlPlaneError as failure:
            log.warning("input_files_left_to_the_sweep cause=%r", failure)


def _usable(found: _Checked | BaseException) -> _Checked:
    if isinstance(found, BaseException):
        raise found
    return found


def _unreachable(place: Place) -> InputFileUnreachable:
    """The same words for a host that is private, closed, slow or not there: nobody learns which."""
    message = (
        f"{place.name} could not be fetched. Its address must answer on the public internet, by https on port 443, "
        f"with the file itself, within {FILE_TIME_MAX.seconds} seconds and three redirects."
    )
    return InputFileUnreachable(message, details=place.details)
