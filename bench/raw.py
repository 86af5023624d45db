"""The raw engine: a workflow with the same number and kinds of steps as a generation, and nothing in them.

`python -m bench.raw HOST:PORT` runs its worker, in a process of its own, as the product's worker does.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from dataclasses import dataclass
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy, SearchAttributeKey
from temporalio.worker import PollerBehaviorAutoscaling, UnsandboxedWorkflowRunner, Worker

QUEUE = "raw"
PROVIDER_QUEUE = "raw-provider"
STATUS = SearchAttributeKey.for_keyword("GenerationStatus")
PROVIDER = SearchAttributeKey.for_keyword("ProviderUsed")
_SHORT = timedelta(seconds=10)
_RETRY = RetryPolicy(initial_interval=timedelta(milliseconds=200))


@dataclass(frozen=True)
class Ask:
    id: str


@activity.defn
async def admit(ask: Ask) -> str:
    return ask.id


@activity.defn
async def submit(ask: Ask) -> str:
    return ask.id


@activity.defn
async def collect(ask: Ask) -> str:
    return ask.id


@activity.defn
async def finish(ask: Ask) -> str:
    return ask.id


@workflow.defn
class Raw:
    """Admit (local), submit, wait for the signal, collect, finish (local)."""

    def __init__(self) -> None:
        self._admitted = ""
        self._rung = False

    @workflow.run
    async def run(self, ask: Ask) -> str:
        self._admitted = await workflow.execute_local_activity(
            admit, ask, start_to_close_timeout=_SHORT, retry_policy=_RETRY
        )
        await workflow.execute_activity(submit, ask, task_queue=PROVIDER_QUEUE, start_to_close_timeout=_SHORT)
        await workflow.wait_condition(lambda: self._rung, timeout=timedelta(seconds=60))
        await workflow.execute_activity(collect, ask, task_queue=PROVIDER_QUEUE, start_to_close_timeout=_SHORT)
        workflow.upsert_search_attributes([STATUS.value_set("succeeded"), PROVIDER.value_set("raw")])
        return await workflow.execute_local_activity(finish, ask, start_to_close_timeout=_SHORT, retry_policy=_RETRY)

    @workflow.update
    async def admitted(self) -> str:
        await workflow.wait_condition(lambda: bool(self._admitted))
        return self._admitted

    @workflow.signal
    def ring(self) -> None:
        self._rung = True


async def work(address: str) -> None:
    client = await Client.connect(address)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    poller = PollerBehaviorAutoscaling(maximum=100)
    async with (
        Worker(
            client,
            task_queue=QUEUE,
            workflows=[Raw],
            activities=[admit, finish],
            workflow_runner=UnsandboxedWorkflowRunner(),
            workflow_task_poller_behavior=poller,
            activity_task_poller_behavior=poller,
            max_cached_workflows=2000,
        ),
        Worker(
            client,
            task_queue=PROVIDER_QUEUE,
            activities=[submit, collect],
            activity_task_poller_behavior=poller,
            max_concurrent_activities=200,
        ),
    ):
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1]))
