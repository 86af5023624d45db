"""Keeping what a job made: every output is streamed from the provider, checked and stored under a key of our own."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import BinaryIO, cast

from temporalio import activity

from domain.assets import BYTES_MAX, EXTENSIONS, Fetcher, ObjectStore, asset_key
from domain.errors import ProviderInvalidOutput, StorageUnavailable
from domain.generation import Asset, MediaType
from domain.media import inspect
from domain.provider import Output

FETCH_TRIES = 2
FETCH_TIME_MAX = timedelta(minutes=5)
STORE_PAUSE_S = 0.2  # doubled after each try
STORE_PAUSE_MAX_S = 10.0
SPOOL_BYTES = 8 * 2**20  # smaller outputs never touch the disk on their way


@dataclass(frozen=True)
class Place:
    """Which attempt the outputs belong to: what is expected of them, and the words of their keys."""

    media_type: MediaType
    region: str
    account_id: str
    generation_id: str
    attempt_id: str


class OutputKeeper:
    """Keys are fixed by attempt and index, so that keeping twice stores nothing twice."""

    def __init__(self, fetcher: Fetcher, assets: ObjectStore) -> None:
        self._fetcher = fetcher
        self._assets = assets

    async def keep(self, outputs: Sequence[Output], place: Place, *, patience: timedelta = timedelta(0)) -> list[Asset]:
        """Fetch, check and store every output. Canceled half-way by its generation, it removes what it had stored; any
        other end of this process, or of its time, leaves that to the repeat, which may already be under way.
        `patience` is how long a store that does not answer is waited for here, where there can be no repeat.

        Raises ProviderInvalidOutput, AddressRefused, StorageUnavailable.
        """
        if not outputs:
            raise ProviderInvalidOutput("The job succeeded without an output.")
        kept: list[Asset] = []
        until = asyncio.get_running_loop().time() + patience.total_seconds()
        try:
            for index, output in enumerate(outputs):
                kept.append(await self._keep_patiently(index, output, place, until))
        except asyncio.CancelledError:
            if self._unwanted():
                for asset in kept:
                    await self._assets.delete(asset.key)
            raise
        return kept

    @staticmethod
    def _unwanted() -> bool:
        details = activity.cancellation_details()
        return details is not None and details.cancel_requested

    async def _keep_patiently(self, index: int, output: Output, place: Place, until: float) -> Asset:
        pause = STORE_PAUSE_S
        while True:
            try:
                return await self._keep_one(index, output, place)
            except StorageUnavailable:
                if asyncio.get_running_loop().time() + pause >= until:
                    raise
            await asyncio.sleep(pause)
            pause = min(pause * 2, STORE_PAUSE_MAX_S)

    async def _keep_one(self, index: int, output: Output, place: Place) -> Asset:
        with tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES) as spooled:
            file = cast(BinaryIO, spooled)
            for tries_left in reversed(range(FETCH_TRIES)):
                try:
                    file.seek(0)
                    file.truncate()
                    fetched = await self._fetcher.fetch(
                        output.url,
                        file,
                        bytes_max=BYTES_MAX[place.media_type],
                        time_max=FETCH_TIME_MAX,
                        headers=output.headers,
                    )
                    file.seek(0)
                    info = inspect(file, fetched.size_bytes)
                    break
                except ProviderInvalidOutput:
                    if not tries_left:
                        raise
            if not info.content_type.startswith(f"{place.media_type.value}/"):
                raise ProviderInvalidOutput(f"The output is {info.content_type}, not {place.media_type.value}.")
            key = asset_key(
                place.region,
                place.account_id,
                place.generation_id,
                place.attempt_id,
                index,
                EXTENSIONS[info.content_type],
            )
            file.seek(0)
            await self._assets.put_once(
                key, file, size_bytes=fetched.size_bytes, sha256=fetched.sha256, content_type=info.content_type
            )
        return Asset(
            key=key,
            content_type=info.content_type,
            size_bytes=fetched.size_bytes,
            sha256=fetched.sha256,
            width=info.width,
            height=info.height,
            duration_s=info.duration_s,
        )
