"""Generations that die at every named point, alone and at random: the books and the records are right after each."""

from __future__ import annotations

import os
import random
from collections import Counter

import pytest
from temporalio.testing import WorkflowEnvironment

from domain.generation import GenerationStatus
from store import ledger
from store.connection import Pool, single
from store.ledger_verification import verify
from tests.ledger_proof.simulator import POINTS, Play, simulating

GENERATIONS = int(os.environ.get("BABYSEA_SIMULATED", "80"))


@pytest.mark.parametrize("point", POINTS, ids=lambda point: f"{POINTS[point]} {point}")
async def test_a_process_that_dies_there_again_and_again_leaves_one_charge_or_none(
    skipping: WorkflowEnvironment, own_pool: Pool, point: str
) -> None:
    """K1, K2, K3, K4, K5, K6, K7, K8, K9."""
    plan = "never ends" if point == "while abandoning" else "succeeds"
    at_each_provider = point == "after the intent, before dispatch"  # twice there is a failure, rightly
    deaths = Counter({point: 1 if plan == "never ends" or at_each_provider else 2})
    if point == "while adopting":
        deaths["after dispatch, before the job id is stored"] = 1
    play = Play(plan, deaths)

    async with simulating(skipping.client, own_pool, seed=0) as simulation:
        await simulation.generation(play)

    assert point in play.happened
    assert sum(simulation.ended.values()) == 1
    if plan == "succeeds":
        assert simulation.ended == {GenerationStatus.SUCCEEDED: 1}


async def test_a_process_that_dies_during_a_release_releases_once(
    skipping: WorkflowEnvironment, own_pool: Pool
) -> None:
    """K9."""
    points = ("before the end", "while the end commits", "after the end commits")
    play = Play("fails", Counter(dict.fromkeys(points, 1)))

    async with simulating(skipping.client, own_pool, seed=0) as simulation:
        await simulation.generation(play)

    assert sorted(play.happened) == sorted(points)
    assert simulation.ended == {GenerationStatus.FAILED: 1}


async def test_random_generations_with_random_deaths_keep_every_invariant(
    skipping: WorkflowEnvironment, own_pool: Pool
) -> None:
    """C8, C9, C10, K1 to K9, in any combination; BABYSEA_SEED repeats a run, BABYSEA_SIMULATED makes it longer."""
    seed = int(os.environ.get("BABYSEA_SEED") or random.SystemRandom().randrange(2**32))
    print(f"seed {seed}")

    async with simulating(skipping.client, own_pool, seed) as simulation:
        for _ in range(GENERATIONS):  # one after the other: skipped time would run away from whatever else runs
            await simulation.generation(simulation.a_play(death_rate=0.15))

    assert sum(simulation.ended.values()) == GENERATIONS, f"seed {seed}"
    async with single(own_pool) as conn:
        assert (await verify(conn)).violations == []
        balance = await ledger.balance(conn, simulation.account_id)
    assert balance.held == 0, f"seed {seed}"
