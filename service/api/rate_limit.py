"""Requests a second of a client: a token bucket in Redis, which all gateways share, and one of this process without it.

The bucket holds `BURST_SECONDS` of requests and refills at the rate. After Redis has failed it is not asked again for a
while, so that no request waits for it.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from typing import Final

from redis.asyncio import Redis as AsyncRedis
from redis.commands.core import AsyncScript
from redis.exceptions import RedisError

from service.jobs.admission import TooManyRequests
from service.jobs.queue import NoBroker, async_redis_client
from service.settings import Settings

BURST_SECONDS: Final = 2.0
"""How many seconds' worth of requests a client that was quiet may send at once."""

PREFIX: Final = "echocast:rate:"
REDIS_SECONDS: Final = 0.25
RETRY_REDIS_SECONDS: Final = 5.0
MAX_LOCAL_CLIENTS: Final = 10_000

# The time is Redis's own: gateways need not agree on one. Returns the seconds until the next request is allowed.
TAKE: Final = """
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1e6
local rate, burst, weight = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'time')
local tokens = math.min(burst, (tonumber(bucket[1]) or burst) + math.max(0, now - (tonumber(bucket[2]) or now)) * rate)
local wait = 0
if tokens >= weight then tokens = tokens - weight else wait = (weight - tokens) / rate end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'time', string.format('%.6f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil(1000 * burst / rate) + 1000)
return tostring(wait)
"""

log = logging.getLogger(__name__)


class RateLimit:
    """Counts the requests of each client. For one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._local: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._redis_after = 0.0
        self._redis: AsyncRedis | None = None
        self._take: AsyncScript | None = None

    async def check(self, client: str, requests_per_second: float | None, weight: float = 1.0) -> None:
        """Count a request of a client, whose limit is its own or the settings', as `weight` requests.

        Raises
        ------
        TooManyRequests
            It sends more than it may.
        """
        rate = self._settings.max_client_requests_per_second if requests_per_second is None else requests_per_second
        if not rate:
            return
        burst = max(1.0, BURST_SECONDS * rate)
        wait = await self._take_from_redis(client, rate, burst, weight)
        if wait is None:
            wait = self._take_locally(client, rate, burst, weight)
        if wait > 0:
            raise TooManyRequests(
                f"more than {rate:g} requests a second",
                where="request",
                hint="Ask less often: `Prefer: wait=N` responds when a nowcast is finished",
                retry_after=wait,
            )

    async def close(self) -> None:
        """Close the connections to Redis."""
        redis, self._redis, self._take = self._redis, None, None
        if redis is not None:
            await redis.aclose()

    async def _take_from_redis(self, client: str, rate: float, burst: float, weight: float) -> float | None:
        """Return the seconds until the next request is allowed, 0 for now; None without Redis."""
        if time.monotonic() < self._redis_after:
            return None
        try:
            if self._take is None:
                self._redis = async_redis_client(self._settings, connect_seconds=REDIS_SECONDS, seconds=REDIS_SECONDS)
                self._take = self._redis.register_script(TAKE)
            return float(await self._take(keys=[PREFIX + client], args=[rate, burst, weight]))
        except (RedisError, OSError, NoBroker) as error:
            log.debug("requests are counted in this process, without Redis: %s", error)
            self._redis_after = time.monotonic() + RETRY_REDIS_SECONDS
            return None  # the client stays open: other requests are using its connections

    def _take_locally(self, client: str, rate: float, burst: float, weight: float) -> float:
        """Return the seconds until the next request is allowed; 0: now."""
        now = time.monotonic()
        tokens, then = self._local.pop(client, (burst, now))
        tokens = min(burst, tokens + (now - then) * rate)
        wait = 0.0 if tokens >= weight else (weight - tokens) / rate
        self._local[client] = (tokens if wait else tokens - weight, now)
        if len(self._local) > MAX_LOCAL_CLIENTS:
            self._local.popitem(last=False)
        return wait
