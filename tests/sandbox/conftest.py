"""One sandbox for all these tests, where jobs take no time unless their prompt says so."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
import pytest_asyncio

from sandbox.fal import credentials as fal_credentials
from sandbox.replicate import credentials as replicate_credentials
from tests.support.callback_ear import Ear, listening_ear
from tests.support.sandbox import SandboxProcess, running_sandbox

_numbers = itertools.count(1)


@pytest_asyncio.fixture(scope="session")
async def sandbox() -> AsyncIterator[SandboxProcess]:
    async with running_sandbox(options=("--retry-scale", "0.02")) as running:
        yield running


@pytest_asyncio.fixture
async def replicate(sandbox: SandboxProcess) -> AsyncIterator[httpx.AsyncClient]:
    """Speaks to the Replicate API, with its token."""
    headers = {"authorization": f"Bearer {replicate_credentials.API_TOKEN}"}
    async with httpx.AsyncClient(base_url=sandbox.replicate_url, headers=headers, timeout=15) as http:
        yield http


@pytest_asyncio.fixture
async def fal(sandbox: SandboxProcess) -> AsyncIterator[httpx.AsyncClient]:
    """Speaks to fal's queue, with its key."""
    headers = {"authorization": f"Key {fal_credentials.KEY}"}
    async with httpx.AsyncClient(base_url=sandbox.fal_queue_url, headers=headers, timeout=15) as http:
        yield http


@pytest_asyncio.fixture
async def control(sandbox: SandboxProcess) -> AsyncIterator[httpx.AsyncClient]:
    """Speaks to the simulator's own API."""
    async with httpx.AsyncClient(base_url=f"{sandbox.url}/sandbox", timeout=15) as http:
        yield http


@pytest_asyncio.fixture
async def ear() -> AsyncIterator[Ear]:
    async with listening_ear() as heard:
        yield heard


@pytest.fixture
def prompt() -> Callable[[str], str]:
    """A prompt nobody used before, with faults: prompt("replicate=job_failed")."""

    def made(faults: str = "") -> str:
        return f"a lighthouse, number {next(_numbers)}" + (f" [sandbox:{faults}]" if faults else "")

    return made
