"""What `babysea replay` does: plans the same ask again, starts it, waits for its end."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

import composition
from adapters.guarded_http import GuardedFetcher
from api.input_files import InputFiles
from api.starting import start_once
from catalog.loader import load_catalog
from catalog.plans import load_plans
from cli.deployment import Deployment
from cli.errors import CommandFailed
from cli.output import err
from cli.show import story_of
from cli.waiting import longest_life_s
from domain.generation import GenerationRequest, GenerationStatus
from domain.planning import plan_generation
from store import accounts, paused_providers, timeline
from store.accounts import Account
from store.connection import Pool, transaction
from store.generation_record import GenerationRecord

POLL_S = 0.25


async def replayed(target: Deployment, generation_id: str, *, wait: bool) -> dict[str, Any]:
    settings = target.settings
    temporal = await composition.engine(settings, lazy=True)
    async with target.database() as pool:
        record = await _failed(pool, generation_id)
        async with transaction(pool) as conn:
            paused = await paused_providers.by_provider(conn)
            account = await accounts.get(conn, record.account_id)
        assert account is not None  # accounts are never removed
        request = planned_again(target, record, paused, account=account)
        async with input_files(target, pool) as files, files.kept(request) as ready:
            admission = await start_once(temporal, pool, ready, wait_s=ready.admit_by - time.time())
        err.print(f"Generation {admission.generation_id} started as a replay of {generation_id}.")
        if wait:
            within_s = longest_life_s(request.deadline_s, candidates=len(request.candidates))
            await _ended(pool, admission.generation_id, within_s=within_s)
        return await story_of(settings, pool, admission.generation_id)


@asynccontextmanager
async def input_files(target: Deployment, pool: Pool) -> AsyncIterator[InputFiles]:
    """The files of a replay are fetched anew, from where the customer said: the copies went with the generation."""
    settings = target.settings
    fetcher = GuardedFetcher(composition.addresses(settings))
    objects = composition.object_store(settings, file_urls_key=composition.keys(settings).file_urls)
    try:
        yield InputFiles(
            fetcher=fetcher, objects=objects, pool=pool, catalogue=load_catalog(prices=settings.prices_file)
        )
    finally:
        await fetcher.aclose()


def planned_again(
    target: Deployment, record: GenerationRecord, paused: Collection[str] = (), *, account: Account
) -> GenerationRequest:
    """The same ask, planned as if it came in now: under the account's cap and policy as well."""
    settings = target.settings
    return plan_generation(
        load_catalog(prices=settings.prices_file),
        account_id=record.account_id,
        api_key_id=record.api_key_id,
        region=record.region,
        model_identifier=record.model,
        media_type=record.media_type,
        body=record.params,
        available_providers=frozenset(composition.providers(settings)),
        paused_providers=paused,
        generation_id=str(uuid.uuid4()),
        admit_by=time.time() + settings.admission_timeout_s,
        deadlines=composition.deadlines(settings),
        in_flight_max=load_plans(settings.plans_file).of(account.plan).in_flight[record.media_type],
        addresses=composition.addresses(settings),
        replay_of=record.generation_id,
        moderation_failover=account.moderation_failover,
    )


async def _failed(pool: Pool, generation_id: str) -> GenerationRecord:
    async with transaction(pool) as conn:
        record = (await timeline.timeline(conn, generation_id)).record
    if record.status is not GenerationStatus.FAILED:
        raise CommandFailed(f"Generation {generation_id} is {record.status.value}; only a failed one is run again.")
    if record.deleted_at is not None:
        raise CommandFailed(f"Generation {generation_id} was deleted with its parameters; it cannot be run again.")
    return record


async def _ended(pool: Pool, generation_id: str, *, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        async with transaction(pool) as conn:
            told = await timeline.timeline(conn, generation_id)
        if told.record.status.terminal:
            return
        await asyncio.sleep(POLL_S)
    raise CommandFailed(f"Generation {generation_id} has not ended after {within_s:.0f} s; it goes on by itself.")
