"""Timing nowcasts: what is run is a whole nowcast, and the seconds are shared out to its stages."""

import ast
import os
import time
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from model.bench.measurement import run_interleaved, workload_process
from model.bench.stage_profile import STAGES, profile_stages
from model.bench.workload import Workload, operations, prepare
from model.core.catalog import Catalog
from model.core.errors import InputError
from model.core.forecast_file import write_netcdf
from model.core.model_info import EXTRAPOLATION
from model.data.synthetic_storms import synthesise


@pytest.fixture
def workload(tmp_path):
    write_netcdf(synthesise(frames=4, shape=(48, 32), step_minutes=5.0, seed=1), tmp_path / "frames.nc")
    return Workload(model="extrapolation", files=(str(tmp_path / "frames.nc"),), steps=3, threads=1)


def test_a_run_writes_the_whole_nowcast(workload, tmp_path):
    with workload_process(workload, tmp_path / "out.nc") as runner:
        assert runner.run() > 0
        assert runner.properties["reference"] == "extrapolation@1"
    with xr.open_dataset(tmp_path / "out.nc") as forecast:
        assert forecast["rainfall_rate"].shape == (3, 48, 32)


def test_with_reads_each_run_reads_its_files_again(workload, tmp_path):
    with workload_process(replace(workload, reads=True), tmp_path / "out.nc") as runner:
        assert runner.request("stages")["stages"]["read"] > 0
        (tmp_path / "frames.nc").unlink()
        with pytest.raises(InputError, match="no such file"):
            runner.run()
    write_netcdf(synthesise(frames=4, shape=(48, 32), step_minutes=5.0, seed=1), tmp_path / "frames.nc")
    with workload_process(workload, tmp_path / "out.nc") as runner:
        (tmp_path / "frames.nc").unlink()
        assert runner.run() > 0


def test_stages_add_up_to_the_run(workload, tmp_path):
    prepared = prepare(replace(workload, reads=True))
    prepared.run(tmp_path / "out.nc")
    inside = 0.0

    def run():
        nonlocal inside
        began = time.perf_counter()
        prepared.run(tmp_path / "out.nc")
        inside = time.perf_counter() - began

    began = time.perf_counter()
    stages = profile_stages(run)
    outside = time.perf_counter() - began
    assert {"read", "motion", "advection", "write"} <= set(stages)
    assert inside <= sum(stages.values()) * (1 + 1e-9)
    assert sum(stages.values()) <= outside * (1 + 1e-9)


def test_time_outside_all_stages_counts_as_other():
    stages = profile_stages(lambda: time.sleep(0.02))
    assert set(stages) == {"other"}
    assert stages["other"] >= 0.02


def test_functions_that_a_stage_calls_are_part_of_the_stage():
    from model.runtime.advection import advect, trajectories
    from model.runtime.motion import estimate_motion, to_newest

    rain = synthesise(frames=3, shape=(32, 32), step_minutes=5.0, seed=1).rain_rate
    motion = estimate_motion(rain)
    assert set(profile_stages(lambda: to_newest(rain, motion))) == {"motion", "other"}  # though it advects
    assert set(profile_stages(lambda: advect(rain[-1], next(trajectories(motion, 1))))) == {"advection", "other"}


def test_warping_older_frames_counts_as_motion_without_the_time_of_the_consumer():
    """The runtime takes them one by one from a generator: what it does with each is not motion."""
    from model.runtime.motion import estimate_motion, warped_to_newest

    rain = synthesise(frames=4, shape=(32, 32), step_minutes=5.0, seed=1).rain_rate
    motion = estimate_motion(rain)

    slept = 0.0

    def read():
        nonlocal slept
        for _ in warped_to_newest(rain, motion):
            began = time.perf_counter()
            time.sleep(0.02)
            slept += time.perf_counter() - began

    stages = profile_stages(read)
    assert set(stages) == {"motion", "other"}
    assert stages["other"] >= slept >= 0.08

    def leave():
        next(frames := warped_to_newest(rain, motion))
        next(frames)
        del frames  # it is closed on its way
        time.sleep(0.02)

    assert profile_stages(leave)["other"] >= 0.02


def test_the_input_of_the_network_is_prepared_without_advection():
    from model.runtime.load import load_predictor
    from model.runtime.request import ForecastRequest

    predictor = load_predictor(Catalog().find("rain-ms-predrnn"))
    rain = synthesise(frames=predictor.info.input_frames, shape=(32, 32), step_minutes=5.0, seed=1)
    request = ForecastRequest(sequence=rain, steps=3)
    prepared = []  # holds the workload: a generator inside it that is collected would be counted, too
    assert set(profile_stages(lambda: prepared.append(predictor.prepare(request)))) == {"motion", "other"}


@pytest.mark.parametrize("place", [place for place in STAGES if place[0].startswith("model/")], ids=":".join)
def test_every_stage_of_echocast_names_an_existing_function(project, place):
    file, function = place
    tree = ast.parse((project / file).read_text())
    assert function in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_variants_are_reported_before_the_first_run(workload):
    events = []
    network = replace(workload, model="rain-ms-predrnn", variant="fp32")
    run_interleaved([workload, network], 1, on_run=lambda: events.append("run"), on_ready=events.append)
    assert events == [["fp32 on CPU"], *["run"] * 4]  # a baseline is held against no peak


def test_every_workload_has_as_many_runs_and_its_own_process(workload):
    runs = []
    found = run_interleaved(
        [workload, replace(workload, model="persistence")], 2, on_run=lambda: runs.append(os.getpid())
    )
    assert [each.reference for each in found] == ["extrapolation@1", "persistence@1"]
    assert [len(each.timing.seconds) for each in found] == [2, 2]
    assert len(runs) == 6  # one of each warms up
    assert found[0].wet_percent == found[1].wet_percent > 0


def test_an_error_of_the_process_reaches_the_caller(workload, tmp_path):
    with (
        pytest.raises(InputError, match="no model 'nope'"),
        workload_process(replace(workload, model="nope"), tmp_path / "out.nc"),
    ):
        pass


def test_operations_count_every_step_and_are_zero_for_a_baseline():
    info = Catalog().find("rain-ms-predrnn")
    macs = sum(layer.macs_per_pixel for layer in info.layers)
    assert operations(info, (10, 20), 12) == pytest.approx(2 * macs * 200 * (info.input_frames - 1 + 12))
    assert operations(EXTRAPOLATION, (10, 20), 12) == 0
    whole = info.model_copy(
        update={"layers": tuple(layer.model_copy(update={"state_values_per_pixel": 0.0}) for layer in info.layers)}
    )
    runs = int(np.ceil(12 / info.input_frames))
    assert operations(whole, (10, 20), 12) == pytest.approx(2 * macs * 200 * runs)
