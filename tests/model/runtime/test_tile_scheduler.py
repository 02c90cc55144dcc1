"""The scheduler: one forecast however a domain is cut, batched and stored; and an error fails one forecast alone."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from model.core.catalog import Catalog
from model.core.errors import DeviceLost, InputError
from model.runtime.device import EngineOptions, open_session
from model.runtime.forecast_task import ForecastTask
from model.runtime.graph_session import ForecastInput, OneStepSession
from model.runtime.onnx_predictor import OnnxPredictor
from model.runtime.remote_tiles import decode_frames, encode_tile, forecast_encoded_tile
from model.runtime.request import ForecastRequest, LeadFields
from model.runtime.tile_scheduler import TileScheduler

LEADS = 3


@pytest.fixture(scope="module")
def session():
    return open_session(Catalog().find("rain-ms-predrnn").folder / "model.fp32.onnx", options=EngineOptions(threads=1))


def only_first(step, planes):
    """The first of the planes that a graph returns: the lowest threshold of the shipped network."""
    return planes[:1].copy()


def first_plane(planes):
    return LeadFields(planes[0])


def forecast_task(shape=(64, 96), seed=0, steps=LEADS, remote_tiles=None, **changes):
    """A task of random frames, whose rain is the network's output."""
    data = 0.6 * np.random.default_rng(seed).random((4, 1, *shape), dtype=np.float32)
    inputs = ForecastInput(data=data, known=np.ones(data.shape, bool), step_minutes=5.0 + seed)
    request = ForecastRequest(sequence=None, steps=steps, remote_tiles=remote_tiles)
    inputs = replace(inputs, **changes)
    return ForecastTask(request=request, inputs=inputs, to_fields=first_plane, reduce=only_first)


def forecasts(scheduler, tasks):
    """Frames [step, y, x] of each task, or the error that ended it."""
    found = {task.request: [] for task in tasks}
    for event in scheduler.run(tasks):
        assert 0 <= event.progress <= 1
        if event.error is not None:
            found[event.request] = event.error
        elif event.frame is not None:
            assert event.step == len(found[event.request]) + 1
            found[event.request].append(event.frame)
    return [each if isinstance(each, Exception) else np.stack(each) for each in found.values()]


def test_a_domain_in_one_piece_is_the_output_of_the_graph(session):
    task = forecast_task()
    (frames,) = forecasts(TileScheduler(session, tile_side=1024), [task])
    alone = np.stack([frame[0] for frame in session.run(task.inputs, LEADS)])
    assert np.array_equal(frames, alone)


def test_tiles_in_waves_are_the_tiles_at_once(session):
    """The spill file costs the rounding to 16 bits, and nothing more."""
    one = forecast_task((480, 560))
    (at_once,) = forecasts(TileScheduler(session, tile_side=256, memory_mb=1000), [one])
    (in_waves,) = forecasts(TileScheduler(session, tile_side=256, memory_mb=10), [one])
    assert 0 < np.abs(at_once - in_waves).max() <= 0.52 / 65535


class OtherWorker:
    """Another worker, for tests: it computes every second tile that is offered."""

    def __init__(self, session):
        self._session = session
        self.computed = {}
        self.requested = []

    def offer(self, tiles):
        for tile in tiles[::2]:
            self.computed[tile.name] = forecast_encoded_tile(self._session, encode_tile(tile))

    def frames(self, tile, local):
        self.requested.append(tile.name)
        if tile.name not in self.computed:
            yield from local
            return
        yield None
        yield from decode_frames(tile, self.computed[tile.name])


def test_tiles_of_a_large_domain_may_be_computed_by_another_worker(session):
    other = OtherWorker(session)
    scheduler = TileScheduler(session, tile_side=256, memory_mb=10)
    (alone,) = forecasts(scheduler, [forecast_task((480, 560))])
    (helped,) = forecasts(scheduler, [forecast_task((480, 560), remote_tiles=other)])
    assert np.array_equal(alone, helped)
    assert len(other.computed) > 2
    assert set(other.computed) < set(other.requested)


def test_tasks_of_several_shapes_and_lengths_in_batches_are_each_as_alone(session):
    tasks = [
        forecast_task(seed=1),
        forecast_task(seed=2, steps=5),
        forecast_task((96, 64), seed=3),
        forecast_task(seed=4, steps=1),
        forecast_task((288, 496), seed=5),
        forecast_task((96, 64), seed=6),
    ]
    together = forecasts(TileScheduler(session, tile_side=256, batch_size=4), tasks)
    for each, alone in zip(together, tasks, strict=True):
        (expected,) = forecasts(TileScheduler(session, tile_side=256), [alone])
        assert len(expected) == alone.request.steps
        assert each == pytest.approx(expected, abs=1e-5)


class Counting:
    """A session that records the sizes of its batches, and how many lead steps it computed."""

    def __init__(self, session):
        self._session = session
        self.batches = []
        self.steps = 0

    def __getattr__(self, name):
        return getattr(self._session, name)

    def run_batch(self, inputs, steps):
        self.batches.append(len(inputs))
        for frames in self._session.run_batch(inputs, steps):
            self.steps += frames is not None
            yield frames


def test_one_poisoned_work_in_a_batch_of_eight_fails_alone(session):
    tasks = [forecast_task(seed=seed) for seed in range(8)]
    tasks[5] = forecast_task(seed=5, known=np.ones((4, 1, 64, 95), bool))  # not the shape of its frames
    counted = Counting(session)
    found = forecasts(TileScheduler(counted, tile_side=1024, batch_size=8), tasks)
    assert counted.batches[0] == 8
    assert [index for index, each in enumerate(found) if isinstance(each, Exception)] == [5]
    for index, each in enumerate(found):
        if index != 5:
            (alone,) = forecasts(TileScheduler(session, tile_side=1024), [tasks[index]])
            assert each == pytest.approx(alone, abs=1e-5)


def test_planes_that_cannot_be_reduced_fail_their_forecast_alone(session):
    def fail(step, planes):
        raise ValueError("there are other planes")

    tasks = [replace(forecast_task(seed=seed), **({"reduce": fail} if seed == 1 else {})) for seed in range(3)]
    first, failed, last = forecasts(TileScheduler(session, tile_side=1024, batch_size=3), tasks)
    assert str(failed) == "there are other planes"
    assert len(first) == len(last) == LEADS


def test_a_cancelled_forecast_ends_and_the_others_continue(session):
    tasks = [forecast_task(seed=seed, steps=6) for seed in range(3)]
    cancelled, steps = tasks[1].request, {task.request: [] for task in tasks}
    for event in TileScheduler(session, tile_side=1024, batch_size=2).run(tasks):
        if event.step:
            steps[event.request].append(event.step)
        if steps[cancelled] == [1, 2]:
            cancelled.cancellation.cancel()
    assert list(steps.values()) == [[1, 2, 3, 4, 5, 6], [1, 2], [1, 2, 3, 4, 5, 6]]


def test_a_cancelled_forecast_costs_no_further_step(session):
    task, counted = forecast_task(steps=6), Counting(session)
    for event in TileScheduler(counted, tile_side=1024).run([task]):
        if event.step == 2:
            task.request.cancellation.cancel()
    assert counted.steps == 2


def test_states_of_a_shape_are_freed_with_its_last_tile(session):
    tasks = [forecast_task((64, 64 + 16 * index), seed=index) for index in range(5)]
    spare = [len(session._spare) for _ in TileScheduler(session, tile_side=1024, memory_mb=1).run(tasks)]
    assert max(spare) == 1
    assert not session._spare


def test_a_forecast_of_nan_fails_and_its_neighbours_continue(session, monkeypatch):
    tasks = [forecast_task(seed=seed) for seed in range(3)]
    alone = forecasts(TileScheduler(session, tile_side=1024), tasks)
    step = OneStepSession.step

    def poisoned(self, states, feeds):
        answer, exceedance, states = step(self, states, feeds)
        exceedance[1, :, 5, 5] = np.nan
        return answer, exceedance, states

    monkeypatch.setattr(OneStepSession, "step", poisoned)
    found = forecasts(TileScheduler(session, tile_side=1024, batch_size=3), tasks)
    assert isinstance(found[1], InputError)
    assert "the network returned NaN at lead step 1" in str(found[1])
    for index in (0, 2):
        assert found[index] == pytest.approx(alone[index], abs=1e-5)


def test_a_batch_is_no_larger_than_its_work_space(session):
    counted = Counting(session)
    forecasts(
        TileScheduler(counted, tile_side=1024, batch_size=8, memory_mb=8),
        [forecast_task((96, 96), seed=seed) for seed in range(8)],
    )
    assert counted.batches
    assert max(counted.batches) == int(4 * 2**20 / (8 * session.state_bytes * 96**2))


def test_a_domain_without_rain_is_dry_and_costs_no_step(session):
    counted = Counting(session)
    one = replace(forecast_task(), wet=np.zeros((64, 96), bool))
    (frames,) = forecasts(TileScheduler(counted, tile_side=1024), [one])
    assert frames.shape == (LEADS, 64, 96)
    assert not frames.any()
    assert not counted.batches


def test_a_device_that_is_gone_ends_all(session, monkeypatch):
    def gone(*_):
        raise RuntimeError("CUDA failure 719: unspecified launch failure")

    monkeypatch.setattr(OneStepSession, "step", gone)
    with pytest.raises(DeviceLost, match="719"):
        list(TileScheduler(session, tile_side=1024, batch_size=2).run([forecast_task(), forecast_task(seed=1)]))
    with pytest.raises(DeviceLost, match="719"):
        OnnxPredictor(Catalog().find("rain-ms-predrnn"), options=EngineOptions(threads=1)).warm_up()


OUT_OF_MEMORY = """
import sys
import numpy as np
from model.runtime.ort import ort
from tests.model.runtime.test_tile_scheduler import Catalog, Counting, OneStepSession, TileScheduler, forecasts
from tests.model.runtime.test_tile_scheduler import forecast_task
limit = ort.OrtArenaCfg(int(sys.argv[1]) * 2**20, 1, -1, -1)
cpu = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
ort.create_and_register_allocator(cpu, limit)
options = ort.SessionOptions()
options.log_severity_level, options.intra_op_num_threads = 4, 1
options.add_session_config_entry("session.use_env_allocators", "1")
graph = Catalog().find("rain-ms-predrnn").folder / "model.fp32.onnx"
session = Counting(OneStepSession(ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])))
tasks = [forecast_task((int(sys.argv[2]),) * 2, seed=seed) for seed in range(int(sys.argv[3]))]
found = forecasts(TileScheduler(session, tile_side=1024, batch_size=4), tasks)
print(session.batches[:3], [each.shape if isinstance(each, np.ndarray) else str(each) for each in found])
"""


def with_little_memory(megabytes, side, tasks=4):
    """The output of a process whose graph may take so much memory."""
    command = [sys.executable, "-c", OUT_OF_MEMORY, str(megabytes), str(side), str(tasks)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_batch_that_has_no_room_is_halved():
    assert with_little_memory(60, 256) == f"[4, 2, 2] {[(LEADS, 256, 256)] * 4}\n"


def test_a_domain_that_has_no_room_is_cut_smaller():
    assert with_little_memory(60, 512, tasks=1) == f"[1, 4, 2] {[(LEADS, 512, 512)]}\n"


def test_the_error_names_the_smallest_tile_that_has_no_room():
    assert with_little_memory(5, 256).count("256 x 256 pixels needs more memory than the device has") == 4
