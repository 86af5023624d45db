"""One stack for all tests that only use it, and the command line to speak with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from subprocess import CompletedProcess

import pytest

from tests.cli.running import RunningUp, babysea


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningUp]:
    """A healthy stack whose simulated providers are quick."""
    running = RunningUp(tmp_path_factory.mktemp("stack") / "data").wait_until_ready()
    yield running
    running.stop()


@pytest.fixture
def command(stack: RunningUp) -> Callable[..., CompletedProcess[str]]:
    return lambda *arguments: babysea(*arguments, data=stack.data)
