"""Requests counted by several processes together, in a Valkey or Redis: one call for each request."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from domain.limits import Ask, Buckets, CountersUnavailable, Limit, Standing, standing

CONNECTIONS_MAX = 8  # an answer takes a fraction of a millisecond: more would only be opened, not used
PATIENCE_S = 1.0  # for a connection, and for an answer; longer than a busy process of ours may pause
PAUSE_S = 1.0  # while it does not answer it is asked once in this time, by one request; the others are not held up

log = logging.getLogger("babysea.counters")

_TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local answers = {}
for i, key in ipairs(KEYS) do
    local most, window, counted = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), ARGV[3 * i] == '1'
    local kept = redis.call('HMGET', key, 'start', 'before', 'count')
    local start, before, count = tonumber(kept[1]) or now, tonumber(kept[2]) or 0, tonumber(kept[3]) or 0
    local over = math.floor((now - start) / window)
    if over == 1 then
        start, before, count = start + window, count, 0
    elseif over ~= 0 then
        start, before, count = now, 0, 0
    end
    local fits = before * (window - (now - start)) + (count + 1) * window <= most * window
    if fits and counted then
        count = count + 1
        redis.call('HSET', key, 'start', string.format('%.0f', start), 'before', before, 'count', count)
        redis.call('PEXPIRE', key, start + 2 * window - now)
    end
    answers[i] = {fits and 1 or 0, start, before, count, now}
    if not fits then
        break
    end
end
return answers
"""


class SharedCounters:
    """Exact for all processes that name the same server. One that does not answer stops nobody: everything fits."""

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        pool: BlockingConnectionPool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS_MAX,
            timeout=PATIENCE_S,
            socket_timeout=PATIENCE_S,
            socket_connect_timeout=PATIENCE_S,
            retry=Retry(NoBackoff(), 0),
            protocol=2,  # with this and without a name, a connection needs no introduction
            driver_info=None,
        )
        self._redis: Redis = Redis.from_pool(pool)
        self._take = self._redis.register_script(_TAKE)
        self._clock = clock
        self._ask_again_at = 0.0
        self._failing = False
        self._log_again_at = 0.0

    async def take(self, asks: Sequence[Ask]) -> list[Standing]:
        if not self._worth_asking():
            return _unlimited(asks)
        try:
            answers = await self._take(keys=[_key(ask) for ask in asks], args=_arguments(asks))
        except (RedisError, OSError) as error:
            await self._pause(error)
            return _unlimited(asks)
        self._failing = False
        return [_standing(ask.limit, *answer) for ask, answer in zip(asks, answers, strict=False)]

    async def ping(self) -> timedelta:
        began = time.perf_counter()
        try:
            await self._redis.ping()
        except (RedisError, OSError) as error:
            raise CountersUnavailable("the counters do not answer") from error
        return timedelta(seconds=time.perf_counter() - began)

    async def close(self) -> None:
        await self._redis.aclose(close_connection_pool=True)

    def _worth_asking(self) -> bool:
        now = self._clock()
        if self._failing and now < self._ask_again_at:
            return False
        if self._failing:  # this one finds out
            self._ask_again_at = now + PAUSE_S
        return True

    async def _pause(self, error: Exception) -> None:
        now = self._clock()
        self._failing = True
        self._ask_again_at = now + PAUSE_S
        if now >= self._log_again_at:
            self._log_again_at = now + PAUSE_S
            log.warning("counters_unavailable requests_are_not_counted cause=%r", error)
        # The server's end broke them all: left in the pool, each would fail one more request when it is back.
        await self._redis.connection_pool.disconnect(inuse_connections=False)


def _key(ask: Ask) -> str:
    return f"babysea:{ask.limit.name}:{ask.key}"


def _arguments(asks: Sequence[Ask]) -> list[int]:
    return [number for ask in asks for number in (ask.limit.most, ask.limit.window_ms, int(ask.counted))]


def _standing(limit: Limit, fitted: int, *buckets: Any) -> Standing:
    start_ms, before, count, now_ms = buckets
    return standing(limit, Buckets(start_ms, before, count), now_ms, fitted=bool(fitted))


def _unlimited(asks: Sequence[Ask]) -> list[Standing]:
    now_ms = int(time.time() * 1000)
    return [standing(ask.limit, Buckets(now_ms), now_ms, fitted=True) for ask in asks]
