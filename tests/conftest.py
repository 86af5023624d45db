"""One stack of processes for all tests that only use it, and the order of work when two test processes share it out."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling, Scheduling
from xdist.workermanage import WorkerController

from tests.support.stack import StackProcess

# How long an example takes tells about the machine and what else runs on it.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")

# Each is one piece of work and has one stack, so that its files never start a second one beside it.
TOGETHER = ("tests/end_to_end/", "tests/cli/")
LONG = (
    "tests/end_to_end/test_every_model.py",
    "tests/end_to_end/test_chaos.py",
)  # but for these two, which are patient
LONGEST_FIRST = (  # so that neither process is left with one of them at the end
    *TOGETHER,
    *LONG,
    "tests/contract/test_s11_arithmetic.py",
    "tests/contract/test_fuzz.py",
    "tests/store/test_crash.py",
    "tests/sandbox/test_restart.py",
)


@pytest.fixture(scope="session", autouse=True)
def authorities() -> Iterator[None]:
    """Read once for all clients: tests open thousands, and this was almost half of what tests/sandbox cost."""
    shared, make = httpx.create_ssl_context(), httpx.create_ssl_context

    def context(verify: ssl.SSLContext | str | bool = True, **others: Any) -> ssl.SSLContext:
        return shared if verify is True else make(verify, **others)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("httpx._transports.default.create_ssl_context", context)
        yield


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    """Healthy, with simulated providers that are quick. Who kills or reconfigures a part starts another one."""
    running = StackProcess(tmp_path_factory.mktemp("stack") / "data")
    try:
        running.start()
        yield running
    finally:
        running.stop()


class StacksTogether(LoadFileScheduling):
    """A file is one piece of work, and so are the files that share a stack: they mostly wait while others compute."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(LONG):
            return super()._split_scope(nodeid)
        return next((folder for folder in TOGETHER if nodeid.startswith(folder)), super()._split_scope(nodeid))

    def _assign_work_unit(self, node: WorkerController) -> None:
        for long in LONGEST_FIRST:
            if long in self.workqueue:
                self.workqueue.move_to_end(long, last=False)
                break
        super()._assign_work_unit(node)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    return StacksTogether(config, log) if config.getvalue("dist") == "loadfile" else None
