"""Every benchmark runs from end to end, small; figures mean nothing here, but that they are there."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import gpu, nowcast, results, service, tiles
from benchmarks.frames import DAYS, write_day
from model.bench.machine import accelerator, describe
from model.core.units import DRY_RAIN_RATE_MM_H
from model.data.synth import synthesise
from model.readers import read

SHAPE = (48, 64)


def kept(figures):
    """As a part is when it is read again."""
    return json.loads(json.dumps({"machine": describe(), **figures}))


def test_files_of_a_day_are_read_as_what_was_made_up(tmp_path):
    day = DAYS["rain"]
    rain = synthesise(frames=2, shape=SHAPE, step_minutes=5.0, seed=day.seed, weather=day.weather, no_data_sectors=2)
    from benchmarks.frames import write_odim

    frames = read([write_odim(rain, index, tmp_path / f"{index}.h5") for index in range(2)])
    np.testing.assert_allclose(frames.rain_rate, rain.rain_rate, rtol=1e-5)
    np.testing.assert_array_equal(frames.times, rain.times)
    np.testing.assert_allclose(frames.grid.x, rain.grid.x, atol=0.01)
    np.testing.assert_allclose(frames.grid.y, rain.grid.y, atol=0.01)


def test_the_dry_day_is_dry_and_the_others_are_not(tmp_path):
    def wet_percent(name):
        frames = read(write_day(DAYS[name], tmp_path / name, frames=nowcast.FRAMES, shape=nowcast.SHAPE))
        return [100 * (frame >= DRY_RAIN_RATE_MM_H).mean() for frame in frames.rain_rate]

    for name in nowcast.DRY:
        assert 1 < min(wet_percent(name)) < max(wet_percent(name)) < 3
    assert min(wet_percent("rain")) > 15


def test_nowcasts_of_all_days_are_timed_against_pysteps(tmp_path):
    pytest.importorskip("pysteps")
    mine = tuple(map(str, write_day(DAYS["rain"], tmp_path, frames=4, shape=SHAPE)))
    plan = nowcast.Plan(shape=SHAPE, steps=2, runs=1, threads=1, files={"mine": mine}, peaks=False)
    part = kept(nowcast.measure(plan))
    places = {(each["day"], each["name"]) for each in part["measured"]}
    assert places == {
        (day, name) for day in ("mine", *DAYS) for name in ("rain-ms-predrnn", "extrapolation", "pysteps")
    }
    faster, dry = results.rows_of(part)
    assert faster.reached > 0
    assert dry.reached > 0
    text = nowcast.page(part)
    assert "dry, one area: rain-ms-predrnn@" in text
    assert describe()["processor"] in text


def test_the_service_is_timed_against_the_engine_alone():
    plan = service.Plan(shape=SHAPE, steps=2, runs=1, clients=3, threads=1, peaks=False)
    part = kept(service.measure(plan))
    assert part["many"]["failures"] == []
    assert part["one"]["model_used"] == part["engine"]["reference"]
    alone, busy = results.rows_of(part)
    assert alone.reached > 0
    assert "no failure" in busy.measured
    assert "3 clients at once" in service.page(part)
    as_fast = {**part["many"], "service_per_s": part["many"]["alone_per_s"]}
    assert service.rows_of({**part, "many": as_fast}, plan)[1].met == "yes"
    assert service.rows_of({**part, "many": {**as_fast, "failures": ["client 1: 500"]}}, plan)[1].met == "no"


def test_a_continent_is_timed_and_its_memory_told():
    part = kept(tiles.measure(tiles.Plan(shape=(80, 96), steps=2, threads=1)))
    assert part["shape"] == [80, 96]
    (memory,) = results.rows_of(part)
    assert memory.met == "yes"
    assert f"{part['peak_mb']:.0f} MB" in tiles.page(part)


def test_every_side_of_the_gpu_benchmark_answers_alike_on_a_cpu():
    plan = gpu.Plan(device="cpu", size=8, large=16, batch=2, rounds=1, runs=1, peak_seconds=0.01)
    part = kept(gpu.measure(plan))
    one, many = part["one"]["measured"], part["many"]["measured"]
    assert list(many) == ["loop, fp32", "loop, fp16"]
    assert one["loop, fp32"]["difference"] < 1e-5
    for sides in (one, many):
        assert 0 < sides["loop, fp16"]["difference"] < 5e-3
    assert "loop, fp16" in gpu.page(part)


@pytest.mark.skipif(bool(accelerator()), reason="there is a GPU")
def test_without_a_gpu_the_rows_say_so():
    part = kept(gpu.measure(gpu.Plan(device="cuda")))
    assert [row.measured for row in results.rows_of(part)] == [gpu.NO_ACCELERATOR] * 2
    assert [row.met for row in results.rows_of(part)] == ["", ""]
    assert "no accelerator" in gpu.page(part)


def test_real_events_are_named_on_the_command_line():
    assert nowcast.named_files(["knmi=a.h5,b.h5"]) == {"knmi": ("a.h5", "b.h5")}
