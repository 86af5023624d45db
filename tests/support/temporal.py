"""A real Temporal dev server for tests, as the embedded stack starts it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from temporalio.testing import WorkflowEnvironment

from workflows import names

BIN = Path(sys.executable).parent
_DYNAMIC = (
    "matching.numTaskqueueReadPartitions=1",
    "matching.numTaskqueueWritePartitions=1",
    'history.timerProcessorMaxTimeShift="100ms"',
    "matching.enableFairness=true",
)


@asynccontextmanager
async def dev_server() -> AsyncIterator[WorkflowEnvironment]:
    """In memory, on a free port, with our search attributes."""
    environment = await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(BIN / "temporal"),
        dev_server_log_level="error",
        dev_server_extra_args=[argument for value in _DYNAMIC for argument in ("--dynamic-config-value", value)],
        search_attributes=names.SEARCH_ATTRIBUTES,
    )
    try:
        yield environment
    finally:
        await environment.shutdown()
