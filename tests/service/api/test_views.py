"""Pictures, animations, lists of frames and points: computed once, within bounds, and in nobody's way."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from anyio.from_thread import start_blocking_portal
from pyproj import CRS

from model.core.grid import Grid
from service.api.context import ANIMATION_THREADS, ANIMATIONS_WAITING, PICTURE_THREADS
from service.api.errors import Busy
from service.api.nowcasts import view as view_module
from service.api.nowcasts.view import NowcastView, ViewFrame, thinned
from service.api.view_cache import RenderedView, ViewCache
from service.api.work_pool import WorkPool
from service.metrics.instruments import REGISTRY
from tests.patience import WAIT_SECONDS, wait_until

CROWD = 60


def looked_up(outcome):
    """How often a view was asked for, with this outcome, as the metrics have it."""
    return REGISTRY.get_sample_value("echocast_view_cache_requests_total", {"outcome": outcome}) or 0.0


def at_once(gateway, paths):
    """The responses of requests that are all under way at the same time."""
    with ThreadPoolExecutor(len(paths)) as pool:
        return list(pool.map(gateway.get, paths))


@pytest.fixture
def blocked(context):
    """Occupies places of a pool until the event that it returns is set, or the test ends."""
    release = threading.Event()
    with start_blocking_portal() as portal:

        def block(pool, calls):
            free = pool._places._initial_value
            wait_until(lambda: pool._places._value == free, f"the {pool.name} of before to end")
            for _ in range(calls):
                portal.start_task_soon(pool.run, release.wait, WAIT_SECONDS)
            wait_until(lambda: pool._places._value == free - calls, f"{calls} places of the {pool.name} to be taken")
            return release

        yield block
        release.set()


@pytest.mark.parametrize("path", ["frames", "result?format=webp", "result?format=gif", "frames/3.png"])
def test_a_crowd_has_each_view_computed_once(gateway, context, finished, path, monkeypatch):
    opened = []
    listed = NowcastView._list_frames
    monkeypatch.setattr(NowcastView, "_list_frames", lambda self: opened.append(self) or listed(self))
    responses = at_once(gateway, [f"/v1/nowcasts/{finished.id}/{path}"] * CROWD)
    assert {response.status_code for response in responses} == {200}
    assert len({response.content for response in responses}) == 1
    assert gateway.get(f"/v1/nowcasts/{finished.id}/{path}").content == responses[0].content
    assert len(opened) == 1


def test_a_projection_is_found_once_for_all_views_of_its_grids(gateway, finish, monkeypatch):
    """PROJ takes tens of milliseconds to find the transformation of a national grid."""
    import model.core.grid as grid_module

    built = []

    original = grid_module.Transformer.from_crs

    def counted(crs, *args, **kwargs):
        built.append(crs)
        return original(crs, *args, **kwargs)

    monkeypatch.setattr(grid_module.Transformer, "from_crs", counted)
    grid_module._to_lon_lat.cache_clear()
    crs = CRS.from_epsg(27700)
    job = finish(Grid.regular(crs, shape=(20, 40), pixel_size=1000.0, centre=(4e5, 4e5)))
    assert gateway.get(f"/v1/nowcasts/{job.id}/frames").json()["graticule"]
    for x in (0.1, 0.5, 0.9):
        assert gateway.get(f"/v1/nowcasts/{job.id}/point?x={x}&y=0.5").json()["lon"] is not None
    assert len(built) == 1


def test_status_point_and_health_respond_while_every_picture_thread_is_blocked(gateway, context, finished, blocked):
    blocked(context.pictures, PICTURE_THREADS)
    release = blocked(context.animations, ANIMATION_THREADS)
    with ThreadPoolExecutor(50) as pool:
        path = f"/v1/nowcasts/{finished.id}"
        waiting = [pool.submit(gateway.get, f"{path}/frames/{number % 7}.png") for number in range(50)]
        for other in ("", "/point?x=0.1&y=0.5", "/result?format=netcdf"):
            assert gateway.get(f"{path}{other}").status_code == 200
        assert gateway.get("/healthz").status_code == 200
        assert gateway.get("/readyz").status_code in (200, 503)
        assert not any(future.done() for future in waiting)
        release.set()
        assert {future.result().status_code for future in waiting} == {200}


def test_beyond_the_line_of_waiting_animations_the_service_is_busy(gateway, context, finish, finished, blocked):
    blocked(context.animations, ANIMATION_THREADS + ANIMATIONS_WAITING)
    response = gateway.get(f"/v1/nowcasts/{finished.id}/result?format=webp")
    assert (response.status_code, response.json()["type"]) == (503, "/problems/busy")
    assert response.headers["retry-after"] == "2"
    assert gateway.get(f"/v1/nowcasts/{finished.id}/frames/0.png").status_code == 200


@pytest.mark.parametrize("path", ["frames", "frames/3.png", "result?format=gif", "result?format=netcdf"])
def test_a_client_that_has_a_view_gets_304_without_computing(gateway, context, finished, path):
    url = f"/v1/nowcasts/{finished.id}/{path}"
    first = gateway.get(url)
    assert "immutable" in first.headers["cache-control"]
    computed = looked_up("miss")
    again = gateway.get(url, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert looked_up("miss") == computed


def test_views_that_are_kept_are_counted(gateway, finished):
    url = f"/v1/nowcasts/{finished.id}/frames/1.png"
    hits, misses = looked_up("hit"), looked_up("miss")
    assert [gateway.get(url).status_code for _ in range(3)] == [200, 200, 200]
    assert (looked_up("hit") - hits, looked_up("miss") - misses) == (2, 1)


def test_an_animation_of_a_very_large_grid_has_fewer_frames_and_keeps_the_last(monkeypatch):
    frames = [ViewFrame(None, number, number, "forecast", None, 5.0 * number) for number in range(26)]
    assert thinned(frames, (640, 710)) == frames
    few = thinned(frames, (10_000, 10_000))
    assert [frame.index for frame in few] == [1, 4, 7, 10, 13, 16, 19, 22, 25]
    assert len(few) * 10**8 <= view_module.MAX_READ_PIXELS


def view(size):
    return RenderedView(np.random.default_rng(size).bytes(size))


def kept_after(max_bytes, *asked):
    """The keys that are computed when views of 40 bytes are asked for in order, and the bytes kept."""
    computed = []

    async def run():
        cache = ViewCache(max_bytes)

        async def compute(key):
            computed.append(key)
            return view(40)

        for key in asked:
            await cache.get(key, lambda key=key: compute(key))
        return cache

    return computed, asyncio.run(run()).size


def test_the_cache_drops_what_was_used_longest_ago_and_stays_within_its_budget():
    assert kept_after(100, "a", "b", "a", "c", "a", "b") == (["a", "b", "c", "b"], 80)
    assert kept_after(39, "a", "a") == (["a", "a"], 0)


def test_an_error_reaches_all_that_wait_and_is_not_kept():
    async def run():
        cache = ViewCache(100)
        started = asyncio.Event()

        async def fail():
            await started.wait()
            raise LookupError("gone")

        async def succeed():
            return view(10)

        waiting = [asyncio.create_task(cache.get("a", fail)) for _ in range(3)]
        await asyncio.sleep(0)
        started.set()
        failures = await asyncio.gather(*waiting, return_exceptions=True)
        assert [str(failure) for failure in failures] == ["gone"] * 3
        assert (await cache.get("a", succeed)).content == view(10).content

    asyncio.run(run())


def test_a_pool_takes_as_many_calls_as_it_has_places_and_frees_them():
    async def run():
        pool = WorkPool("pictures", threads=1, waiting=1)
        release = threading.Event()
        calls = [asyncio.create_task(pool.run(release.wait, WAIT_SECONDS)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Busy, match="too many requests wait for pictures"):
            await pool.run(release.wait)
        calls[1].cancel()  # it waits: its place is free at once
        await asyncio.sleep(0)
        release.set()
        assert await pool.run(lambda: "done") == "done"
        assert await calls[0]
        pool.close()

    asyncio.run(run())
