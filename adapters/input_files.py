"""Reads a customer's file from our own address of it, for the providers that want bytes."""

from __future__ import annotations

import io
from datetime import timedelta

from domain.assets import Fetcher
from domain.errors import AddressRefused, ProviderInvalidOutput, ProviderRejectedInput
from domain.media import structure
from domain.provider import InputFile

BYTES_MAX = 50 * 2**20  # what the most generous of them takes
TIME_MAX = timedelta(seconds=30)


class FileReader:
    """The guarded client, into memory."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher

    async def __call__(self, url: str) -> InputFile:
        """Raises ProviderRejectedInput: the file was checked when it was copied, so what is wrong now is ours."""
        file = io.BytesIO()
        try:
            fetched = await self._fetcher.fetch(url, file, bytes_max=BYTES_MAX, time_max=TIME_MAX)
            kind = structure(file, fetched.size_bytes).content_type
        except (AddressRefused, ProviderInvalidOutput) as error:
            raise ProviderRejectedInput("Our copy of the input file could not be read.") from error
        return InputFile(file.getvalue(), kind)
