"""Every benchmark runs from end to end on small data; only the presence of figures is tested."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import paths
from benchmarks.page import results
from benchmarks.speed import gpu, inference, nowcast, peak, service, tiles
from benchmarks.speed.synthetic_days import DAYS, write_day
from model.bench.machine import accelerator, describe_machine
from model.core.units import DRY_RAIN_RATE_MM_H
from model.data.synthetic_storms import synthesise
from model.readers import read

SHAPE = (48, 64)
PEAKS = (455.0, 886.0, 512.0)
"""GFLOP/s of a machine that is cold at first."""


@pytest.fixture
def peaks(monkeypatch):
    """Record the requested peaks; each call returns the peak of another moment."""
    requested = []

    def measured(precision, device="cpu", threads=0, **options):
        requested.append(precision)
        return PEAKS[requested.count(precision) - 1]

    monkeypatch.setattr(peak, "convolution_peak", measured)
    return requested


def stored(figures):
    """Return a part as it is after storing and reading."""
    return json.loads(json.dumps({"machine": describe_machine(), **figures}))


def test_files_of_a_day_hold_the_synthetic_rain(tmp_path):
    day = DAYS["rain"]
    rain = synthesise(frames=2, shape=SHAPE, step_minutes=5.0, seed=day.seed, weather=day.weather, no_data_sectors=2)
    from benchmarks.speed.synthetic_days import write_odim

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


def test_nowcasts_of_all_days_are_timed_against_pysteps(tmp_path, peaks):
    pytest.importorskip("pysteps")
    mine = tuple(map(str, write_day(DAYS["rain"], tmp_path, frames=4, shape=SHAPE)))
    options = nowcast.BenchmarkOptions(shape=SHAPE, steps=2, runs=1, threads=1, files={"mine": mine})
    part = stored(nowcast.measure(options))
    places = {(each["day"], each["name"]) for each in part["measured"]}
    assert places == {
        (day, name) for day in ("mine", *DAYS) for name in ("rain-ms-predrnn", "extrapolation", "pysteps")
    }
    faster, dry = results.rows_of(part)
    assert faster.reached > 0
    assert dry.reached > 0
    text = nowcast.page(part)
    assert "dry, one area: rain-ms-predrnn@" in text
    ran_as = next(each["variant"] for each in part["measured"] if each["name"] == "rain-ms-predrnn")
    precision = ran_as.partition(" ")[0]
    assert peaks == [precision] * 2  # before and after, of what ran
    assert part["peaks_gflops"] == {precision: max(PEAKS[:2])}
    assert describe_machine()["processor"] in text


def test_the_service_is_timed_against_the_engine_alone(peaks):
    options = service.ServiceOptions(shape=SHAPE, steps=2, runs=1, clients=3, threads=1)
    part = stored(service.measure(options))
    assert part["many"]["failures"] == []
    assert part["one"]["model_used"] == part["engine"]["reference"]
    assert len(peaks) == 2
    assert part["peak_gflops"] == max(PEAKS[:2])
    alone, busy = results.rows_of(part)
    assert alone.reached > 0
    assert "no failure" in busy.measured
    assert "3 clients at once" in service.page(part)
    as_fast = {**part["many"], "service_per_s": part["many"]["alone_per_s"]}
    assert service.rows_of({**part, "many": as_fast}, options)[1].met == "yes"
    assert service.rows_of({**part, "many": {**as_fast, "failures": ["client 1: 500"]}}, options)[1].met == "no"


def test_a_continent_is_timed_and_its_memory_reported():
    part = stored(tiles.measure(tiles.TilesOptions(shape=(80, 96), steps=2, threads=1)))
    assert part["shape"] == [80, 96]
    (memory,) = results.rows_of(part)
    assert memory.met == "yes"
    assert f"{part['peak_mb']:.0f} MB" in tiles.page(part)


def test_all_sides_of_the_gpu_benchmark_have_the_same_output_on_a_cpu(peaks):
    options = gpu.GpuOptions(device="cpu", size=8, large=16, batch=2, rounds=1, runs=1)
    part = stored(gpu.measure(options))
    one, many = part["one"]["measured"], part["many"]["measured"]
    assert list(one) == list(many) == ["engine, fp32", "engine, fp16", "upper bound, fp32", "upper bound, fp16"]
    for sides in (one, many):
        assert sides["upper bound, fp32"]["difference"] < 1e-5
        for side in ("engine, fp16", "upper bound, fp16"):
            assert 0 < sides[side]["difference"] < 5e-3
    assert peaks == ["fp32", "fp16"] * 2
    assert part["peaks_gflops"] == dict.fromkeys(("fp32", "fp16"), max(PEAKS[:2]))
    text = gpu.page(part)
    assert "upper bound, fp16" in text
    assert "engine, fp16" in text
    for row in results.rows_of(part):
        assert "engine" in row.measured
        assert "upper bound" not in row.measured


def test_the_gpu_benchmark_has_a_float16_graph(tmp_path):
    import onnx

    gpu.prepare(tmp_path, None)
    graphs = {name: onnx.load(tmp_path / f"{name}.onnx").graph for name in ("fp32", "fp16")}
    kinds = {name: {tensor.data_type for tensor in graph.initializer} for name, graph in graphs.items()}
    assert onnx.TensorProto.FLOAT16 in kinds["fp16"] - kinds["fp32"]


def figures_of_a_gpu(**seconds):
    """Return figures of both cases: seconds of each side, and 100 GFLOP for the batch."""
    sides = {
        name.replace("_", ", ").replace("bound", "upper bound"): {"median_s": took} for name, took in seconds.items()
    }
    return {"one": {"measured": sides}, "many": {"measured": sides, "operations": 1e11}, "fp16": 1000.0, "bf16": 500.0}


def test_on_the_gpu_only_the_shipped_engine_counts():
    """Check with an upper bound that is ten times as fast as the engine, and would meet both aims."""
    figures = figures_of_a_gpu(official_fp32=1.0, official_TF32=0.8, engine_fp32=0.5, engine_fp16=0.4, bound_fp16=0.04)
    faster, share = gpu.rows_of(figures, gpu.GpuOptions())
    assert faster.measured.startswith("2.0 x: 400.0 ms (engine, fp16) against 800.0 ms (official, TF32)")
    assert faster.reached == pytest.approx(2 / gpu.TIMES_AS_FAST)
    assert share.measured.startswith("25%: 250 of 1000 GFLOP/s (engine, fp16")
    assert share.reached == pytest.approx(0.25 / gpu.SHARE_OF_PEAK)


def test_an_engine_that_fails_on_the_gpu_misses_the_aims():
    figures = figures_of_a_gpu(official_fp32=1.0, bound_fp16=0.04)
    for side in gpu.ENGINE:
        figures["one"]["measured"][side] = {"failed": "out of memory"}
    rows = gpu.rows_of(figures, gpu.GpuOptions())
    assert [row.met for row in rows] == ["no", "no"]
    assert "engine, fp16 failed: out of memory" in rows[0].measured


@pytest.mark.skipif(bool(accelerator()), reason="there is a GPU")
def test_without_a_gpu_the_rows_say_so():
    part = stored(gpu.measure(gpu.GpuOptions(device="cuda")))
    assert [row.measured for row in results.rows_of(part)] == [gpu.NO_ACCELERATOR] * 2
    assert [row.met for row in results.rows_of(part)] == ["", ""]
    assert "no accelerator" in gpu.page(part)


def test_real_events_are_named_on_the_command_line():
    assert nowcast.named_files(["knmi=a.h5,b.h5"]) == {"knmi": ("a.h5", "b.h5")}


def test_the_peak_of_the_machine_is_measured_twice_whatever_the_number_of_networks(tmp_path, monkeypatch, peaks):
    side = {"seconds": 1.0, "spread": [1.0, 1.0], "times": 1.0, "mb": 100.0, "difference": 0.0}
    network = {"side": 64, "gflop": 88.6, "largest value": 1.0, **dict.fromkeys(inference.SIDES, side)}
    pairs = []

    def measured(name, folder, threads, count):
        pairs.append(count)
        assert len(peaks) == 2  # before the first network
        return network

    page = tmp_path / "performance.md"
    page.write_text("<!-- begin inference -->\n<!-- end inference -->\n")
    monkeypatch.setattr(inference, "measure", measured)
    monkeypatch.setattr(inference, "FIGURES", tmp_path / "inference.json")
    monkeypatch.setattr(paths, "PERFORMANCE_PAGE", page)
    words = ["inference", "convlstm", "predrnn", "mim", "--ms-rnn", str(tmp_path), "--pairs", "1"]
    monkeypatch.setattr("sys.argv", words)
    inference.main()
    assert pairs == [1, 1, 1]
    assert peaks == ["fp32", "int8"] * 2
    figures = json.loads((tmp_path / "inference.json").read_text())
    assert set(figures["networks"]) == {"convlstm", "predrnn", "mim"}
    assert figures["machine"]["peak"] == dict.fromkeys(("fp32", "int8"), max(PEAKS[:2]))
    assert "886 in int8" in page.read_text()
    assert "| 10% | 10% | 10% |" in page.read_text()


def test_the_peak_of_the_page_is_the_larger_of_two_moments(peaks):
    assert peak.measure("cpu", 1)["gflops"] == dict.fromkeys(peak.PRECISIONS, max(PEAKS[:2]))
