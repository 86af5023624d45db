"""A failed generation is run again at most once at a time, and never after it succeeded."""

from __future__ import annotations

import uuid

import pytest

from domain import ending
from domain.errors import InvalidInput, ProviderFailed
from store import generations
from tests.activities.conftest import Bench, bench, pool  # noqa: F401 - fixtures
from tests.support.requests import a_request


async def test_a_second_replay_is_refused_while_the_first_runs(bench: Bench) -> None:  # noqa: F811
    original, _ = await bench.admitted()
    failure = ending.failure_of("fal", ProviderFailed("500"))
    await bench.records.finish_generation(ending.failed(original, [failure]))
    first, _ = await bench.admitted(replay_of=original.generation_id)
    second = a_request(account_id=bench.account_id, replay_of=original.generation_id, generation_id=str(uuid.uuid4()))

    async with bench.pool.connection() as conn:
        with pytest.raises(InvalidInput, match="again already"):
            await generations.admit(conn, second)
        again = await generations.admit(conn, first)

    assert again.generation_id == first.generation_id


async def test_a_replay_that_failed_may_be_tried_again(bench: Bench) -> None:  # noqa: F811
    original, _ = await bench.admitted()
    failure = ending.failure_of("fal", ProviderFailed("500"))
    await bench.records.finish_generation(ending.failed(original, [failure]))
    first, _ = await bench.admitted(replay_of=original.generation_id)
    await bench.records.finish_generation(ending.failed(first, [failure]))

    second, _ = await bench.admitted(replay_of=original.generation_id)

    assert second.replay_of == original.generation_id
