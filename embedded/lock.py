"""One stack per data folder: a file lock that the kernel gives back when its holder dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType

from embedded.config import DATA_VARIABLE
from embedded.errors import DataFolderInUse


class DataLock:
    """Held by the supervisor for as long as it lives; its processes do not inherit it."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._path = data / "lock"
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        return self._descriptor is not None

    def take(self) -> bool:
        """False when the last holder did not give it back: its processes may still be ending.

        Raises DataFolderInUse.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise DataFolderInUse(
                f"Another stack (process {self._path.read_text().strip() or 'unknown'}) uses the folder {self._data}. "
                f"Stop it, or choose another folder with --data or {DATA_VARIABLE}."
            ) from None
        given_back = os.fstat(descriptor).st_size == 0
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        self._descriptor = descriptor
        return given_back

    def give_back(self) -> None:
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> DataLock:
        self.take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give_back()


def is_held(data: Path) -> bool:
    """True while a stack runs on this folder."""
    try:
        descriptor = os.open(data / "lock", os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
