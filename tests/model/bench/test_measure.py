"""Timing nowcasts: what is run is a whole nowcast, and the seconds are shared out to its stages."""

import ast
import os
import time
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from model.bench.measure import running, side_by_side
from model.bench.stages import STAGES, stages_of
from model.bench.task import Task, operations, prepare
from model.core.catalog import EXTRAPOLATION, Catalog
from model.core.errors import InputError
from model.core.forecast import write_netcdf
from model.data.synthetic_storms import synthesise


@pytest.fixture
def task(tmp_path):
    write_netcdf(synthesise(frames=4, shape=(48, 32), step_minutes=5.0, seed=1), tmp_path / "frames.nc")
    return Task(model="extrapolation", files=(str(tmp_path / "frames.nc"),), steps=3, threads=1)


def test_a_run_writes_the_whole_nowcast(task, tmp_path):
    with running(task, tmp_path / "out.nc") as runner:
        assert runner.run() > 0
        assert runner.known["reference"] == "extrapolation@1"
    with xr.open_dataset(tmp_path / "out.nc") as forecast:
        assert forecast["rainfall_rate"].shape == (3, 48, 32)


def test_with_reads_each_run_reads_its_files_anew(task, tmp_path):
    with running(replace(task, reads=True), tmp_path / "out.nc") as runner:
        assert runner.ask("stages")["stages"]["read"] > 0
        (tmp_path / "frames.nc").unlink()
        with pytest.raises(InputError, match="no such file"):
            runner.run()
    write_netcdf(synthesise(frames=4, shape=(48, 32), step_minutes=5.0, seed=1), tmp_path / "frames.nc")
    with running(task, tmp_path / "out.nc") as runner:
        (tmp_path / "frames.nc").unlink()
        assert runner.run() > 0


def test_stages_add_up_to_the_run(task, tmp_path):
    ready = prepare(replace(task, reads=True))
    ready.run(tmp_path / "out.nc")
    inside = 0.0

    def run():
        nonlocal inside
        began = time.perf_counter()
        ready.run(tmp_path / "out.nc")
        inside = time.perf_counter() - began

    began = time.perf_counter()
    stages = stages_of(run)
    outside = time.perf_counter() - began
    assert {"read", "motion", "advection", "write"} <= set(stages)
    assert inside <= sum(stages.values()) * (1 + 1e-9)
    assert sum(stages.values()) <= outside * (1 + 1e-9)


def test_what_is_of_no_stage_counts_as_other():
    stages = stages_of(lambda: time.sleep(0.02))
    assert set(stages) == {"other"}
    assert stages["other"] >= 0.02


def test_what_a_stage_calls_is_part_of_it():
    from model.runtime.advection import advect, trajectories
    from model.runtime.motion import estimate_motion, to_newest

    rain = synthesise(frames=3, shape=(32, 32), step_minutes=5.0, seed=1).rain_rate
    motion = estimate_motion(rain)
    assert set(stages_of(lambda: to_newest(rain, motion))) == {"motion", "other"}  # though it advects
    assert set(stages_of(lambda: advect(rain[-1], next(trajectories(motion, 1))))) == {"advection", "other"}


def test_older_frames_are_warped_as_motion_whoever_reads_them():
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

    stages = stages_of(read)
    assert set(stages) == {"motion", "other"}
    assert stages["other"] >= slept >= 0.08

    def leave():
        next(frames := warped_to_newest(rain, motion))
        next(frames)
        del frames  # it is closed on its way
        time.sleep(0.02)

    assert stages_of(leave)["other"] >= 0.02


def test_what_the_network_reads_is_made_ready_without_advection():
    from model.runtime.load import load_predictor
    from model.runtime.request import ForecastRequest

    predictor = load_predictor(Catalog().find("rain-ms-predrnn"))
    rain = synthesise(frames=predictor.info.input_frames, shape=(32, 32), step_minutes=5.0, seed=1)
    request = ForecastRequest(sequence=rain, steps=3)
    ready = []  # holds the task: a generator inside it that is collected would be counted, too
    assert set(stages_of(lambda: ready.append(predictor.prepare(request)))) == {"motion", "other"}


@pytest.mark.parametrize("place", [place for place in STAGES if place[0].startswith("model/")], ids=":".join)
def test_every_stage_of_ours_watches_a_function_that_is_there(project, place):
    file, function = place
    tree = ast.parse((project / file).read_text())
    assert function in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_what_is_ready_is_told_before_the_first_run(task):
    told = []
    network = replace(task, model="rain-ms-predrnn", variant="fp32")
    side_by_side([task, network], 1, on_run=lambda: told.append("run"), on_ready=told.append)
    assert told == [["fp32 on CPU"], *["run"] * 4]  # a baseline is held against no peak


def test_every_task_has_as_many_runs_and_its_own_process(task):
    runs = []
    found = side_by_side([task, replace(task, model="persistence")], 2, on_run=lambda: runs.append(os.getpid()))
    assert [each.reference for each in found] == ["extrapolation@1", "persistence@1"]
    assert [len(each.timing.seconds) for each in found] == [2, 2]
    assert len(runs) == 6  # one of each warms up
    assert found[0].wet_percent == found[1].wet_percent > 0


def test_what_a_model_lacks_is_told_by_its_process(task, tmp_path):
    with pytest.raises(InputError, match="no model 'nope'"), running(replace(task, model="nope"), tmp_path / "out.nc"):
        pass


def test_operations_are_those_of_every_step_but_none_of_a_baseline():
    info = Catalog().find("rain-ms-predrnn")
    macs = sum(layer.macs_per_pixel for layer in info.layers)
    assert operations(info, (10, 20), 12) == pytest.approx(2 * macs * 200 * (info.input_frames - 1 + 12))
    assert operations(EXTRAPOLATION, (10, 20), 12) == 0
    whole = info.model_copy(
        update={"layers": tuple(layer.model_copy(update={"state_values_per_pixel": 0.0}) for layer in info.layers)}
    )
    runs = int(np.ceil(12 / info.input_frames))
    assert operations(whole, (10, 20), 12) == pytest.approx(2 * macs * 200 * runs)
