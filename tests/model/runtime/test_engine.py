"""The engine: one answer however a domain is cut, batched and kept; and an error that stays with the one it is of."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from model.core.catalog import Catalog
from model.core.errors import BadPackage, DeviceLost, InputError
from model.runtime.device import EngineOptions, fastest_variant, open_session
from model.runtime.engine import Engine, Work
from model.runtime.graph import Observed, OneStepSession
from model.runtime.onnx import OnnxPredictor

LEADS = 3


@pytest.fixture(scope="module")
def session():
    return open_session(Catalog().find("rain-ms-predrnn").folder / "model.fp32.onnx", options=EngineOptions(threads=1))


def work(shape=(64, 96), seed=0, leads=LEADS, **changes):
    data = 0.6 * np.random.default_rng(seed).random((4, 1, *shape), dtype=np.float32)
    observed = Observed(data=data, known=np.ones(data.shape, bool), step_minutes=5.0 + seed)
    return Work(observed=replace(observed, **changes), leads=leads)


def made(engine, works):
    """Frames [lead, y, x] of each work, or the error that it ended with."""
    found = [[] for _ in works]
    for told in engine.run(works):
        assert 0 <= told.share <= 1
        if told.error is not None:
            found[told.work] = told.error
        elif told.fraction is not None:
            assert told.lead == len(found[told.work]) + 1
            found[told.work].append(told.fraction)
    return [each if isinstance(each, Exception) else np.stack(each) for each in found]


def test_a_domain_in_one_piece_is_what_the_graph_answers(session):
    one = work()
    (frames,) = made(Engine(session, side=1024), [one])
    alone = np.stack([frame[0] for frame in session.run(one.observed, LEADS)])
    assert np.array_equal(frames, alone)


def test_tiles_in_waves_are_the_tiles_at_once(session):
    """Of the frames that wait in a file no more is lost than their 16 bits say."""
    one = work((480, 560))
    (at_once,) = made(Engine(session, side=256, memory_mb=1000), [one])
    (in_waves,) = made(Engine(session, side=256, memory_mb=10), [one])
    assert 0 < np.abs(at_once - in_waves).max() <= 0.51 / 65535


class Helper:
    """Another process, for tests: it makes every second lane that is offered."""

    def __init__(self, session):
        self._session = session
        self.made = {}
        self.told = []

    def offer(self, lanes):
        for name, (seen, leads) in list(lanes.items())[::2]:
            self.made[name] = [frame[None] for frame in self._session.run(seen, leads, ceiling=seen.ceiling)]

    def frames(self, lane, here):
        self.told.append(lane)
        if lane not in self.made:
            yield from here
            return
        yield None
        yield from self.made[lane]


def test_tiles_of_a_large_domain_may_be_made_elsewhere(session):
    one, helper = work((480, 560)), Helper(session)
    engine = Engine(session, side=256, memory_mb=10)
    (alone,) = made(engine, [one])
    helped = np.stack([told.fraction for told in engine.run([one], elsewhere=helper) if told.lead])
    assert np.array_equal(alone, helped)
    assert len(helper.made) > 2
    assert set(helper.made) < set(helper.told)


def test_works_of_several_shapes_and_lengths_in_batches_are_each_as_alone(session):
    works = [
        work(seed=1),
        work(seed=2, leads=5),
        work((96, 64), seed=3),
        work(seed=4, leads=1),
        work((288, 496), seed=5),
        work((96, 64), seed=6),
    ]
    together = made(Engine(session, side=256, lanes=4), works)
    for each, alone in zip(together, works, strict=True):
        (expected,) = made(Engine(session, side=256), [alone])
        assert len(expected) == alone.leads
        assert each == pytest.approx(expected, abs=1e-5)


class Counting:
    """A session, and the sizes of the batches that it was given."""

    def __init__(self, session):
        self._session = session
        self.batches = []

    def __getattr__(self, name):
        return getattr(self._session, name)

    def forecasts(self, observed, leads):
        self.batches.append(len(observed))
        yield from self._session.forecasts(observed, leads)


def test_one_poisoned_work_in_a_batch_of_eight_fails_alone(session):
    works = [work(seed=seed) for seed in range(8)]
    works[5] = work(seed=5, known=np.ones((4, 1, 64, 95), bool))  # not the shape of its frames
    counted = Counting(session)
    found = made(Engine(counted, side=1024, lanes=8), works)
    assert counted.batches[0] == 8
    assert [index for index, each in enumerate(found) if isinstance(each, Exception)] == [5]
    for index, each in enumerate(found):
        if index != 5:
            (alone,) = made(Engine(session, side=1024), [works[index]])
            assert each == pytest.approx(alone, abs=1e-5)


def test_what_is_not_wanted_any_more_is_made_no_further_and_the_others_are(session):
    works = [work(seed=seed, leads=6) for seed in range(3)]
    unwanted, leads = set(), {0: [], 1: [], 2: []}
    for told in Engine(session, side=1024, lanes=2).run(works, unwanted):
        if told.lead:
            leads[told.work].append(told.lead)
        if leads[1] == [1, 2]:
            unwanted.add(1)
    assert leads == {0: [1, 2, 3, 4, 5, 6], 1: [1, 2], 2: [1, 2, 3, 4, 5, 6]}


def test_states_of_a_shape_go_with_its_last_lane(session):
    works = [work((64, 64 + 16 * index), seed=index) for index in range(5)]
    spare = [len(session._spare) for _ in Engine(session, side=1024, memory_mb=1).run(works)]
    assert max(spare) == 1
    assert not session._spare


def test_a_forecast_of_no_numbers_is_told_and_its_neighbours_go_on(session, monkeypatch):
    works = [work(seed=seed) for seed in range(3)]
    alone = made(Engine(session, side=1024), works)
    step = OneStepSession._step

    def poisoned(self, states, feeds):
        answer, states = step(self, states, feeds)
        answer[1, :, 5, 5] = np.nan
        return answer, states

    monkeypatch.setattr(OneStepSession, "_step", poisoned)
    found = made(Engine(session, side=1024, lanes=3), works)
    assert isinstance(found[1], InputError)
    assert "at lead 1 is no number" in str(found[1])
    for index in (0, 2):
        assert found[index] == pytest.approx(alone[index], abs=1e-5)


def test_a_batch_is_no_larger_than_its_work_space(session):
    counted = Counting(session)
    made(Engine(counted, side=1024, lanes=8, memory_mb=8), [work((96, 96), seed=seed) for seed in range(8)])
    assert counted.batches
    assert max(counted.batches) == int(4 * 2**20 / (8 * session.state_bytes * 96**2))


def test_a_domain_without_rain_is_dry_and_costs_no_step(session):
    counted = Counting(session)
    one = replace(work(), wet=np.zeros((64, 96), bool))
    (frames,) = made(Engine(counted, side=1024), [one])
    assert frames.shape == (LEADS, 64, 96)
    assert not frames.any()
    assert not counted.batches


def test_a_device_that_is_gone_ends_all(session, monkeypatch):
    def gone(*_):
        raise RuntimeError("CUDA failure 719: unspecified launch failure")

    monkeypatch.setattr(OneStepSession, "_step", gone)
    with pytest.raises(DeviceLost, match="719"):
        list(Engine(session, side=1024, lanes=2).run([work(), work(seed=1)]))
    with pytest.raises(DeviceLost, match="719"):
        OnnxPredictor(Catalog().find("rain-ms-predrnn"), options=EngineOptions(threads=1)).warm_up()


OUT_OF_MEMORY = """
import sys
import numpy as np
from model.runtime.ort import ort
from tests.model.runtime.test_engine import Catalog, Counting, Engine, OneStepSession, made, work
limit = ort.OrtArenaCfg(int(sys.argv[1]) * 2**20, 1, -1, -1)
cpu = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
ort.create_and_register_allocator(cpu, limit)
options = ort.SessionOptions()
options.log_severity_level, options.intra_op_num_threads = 4, 1
options.add_session_config_entry("session.use_env_allocators", "1")
graph = Catalog().find("rain-ms-predrnn").folder / "model.fp32.onnx"
session = Counting(OneStepSession(ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])))
works = [work((int(sys.argv[2]),) * 2, seed=seed) for seed in range(4)]
found = made(Engine(session, side=1024, lanes=4), works)
print(session.batches[:3], [each.shape if isinstance(each, np.ndarray) else str(each) for each in found])
"""


def with_little_memory(megabytes, side):
    """The answer of a process whose graph may take so much."""
    command = [sys.executable, "-c", OUT_OF_MEMORY, str(megabytes), str(side)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_batch_that_has_no_room_is_halved():
    assert with_little_memory(25, 256) == f"[4, 2, 2] {[(LEADS, 256, 256)] * 4}\n"


def test_a_domain_that_has_no_room_is_cut_smaller():
    told = with_little_memory(25, 512)
    assert told.startswith("[4, 2, 1]")  # one alone had no room either
    assert told.endswith(f"{[(LEADS, 512, 512)] * 4}\n")


def test_without_room_for_the_smallest_tile_the_error_says_so():
    assert with_little_memory(5, 256).count("256 x 256 pixels is more than the device's memory holds") == 4


def test_a_model_that_is_too_large_is_refused_with_both_numbers():
    graph = Catalog().find("rain-ms-predrnn").folder / "model.fp32.onnx"
    with pytest.raises(BadPackage, match=r"takes \d+ MB at least, a forecast may take 5 MB"):
        open_session(graph, options=EngineOptions(memory_mb=5))


def test_options_come_from_the_environment_and_say_what_is_wrong(monkeypatch):
    monkeypatch.setenv("ECHOCAST_MEMORY_MB", "512")
    monkeypatch.setenv("ECHOCAST_DEVICE", "cpu")
    monkeypatch.delenv("ECHOCAST_THREADS", raising=False)
    assert EngineOptions.from_environment() == EngineOptions(memory_mb=512, device="cpu")
    monkeypatch.setenv("ECHOCAST_DEVICE", "tpu")
    with pytest.raises(InputError, match=r"ECHOCAST_DEVICE: it is 'tpu', not one of auto, cpu, cuda"):
        EngineOptions.from_environment()


def test_cuda_is_never_replaced_by_the_processor_in_silence():
    graph = Catalog().find("rain-ms-predrnn").folder / "model.fp32.onnx"
    with pytest.raises(InputError, match="CUDA is asked for"):
        open_session(graph, options=EngineOptions(device="cuda"))


def test_the_fastest_variant_that_a_device_runs_is_taken(monkeypatch):
    variants = {"fp32": "a", "int8": "b", "fp16": "c"}
    assert fastest_variant(variants, "cuda") == "fp16"
    assert fastest_variant({"fp32": "a", "int8": "b"}, "cuda") == "fp32"
    for able, expected in ((True, "int8"), (False, "fp32")):
        monkeypatch.setattr("model.runtime.device._multiplies_int8", lambda able=able: able)
        assert fastest_variant(variants, "cpu") == expected
    assert fastest_variant(variants, "cpu", "fp16") == "fp16"
    with pytest.raises(BadPackage, match="no variant int8, it has fp32"):
        fastest_variant({"fp32": "a"}, "cpu", "int8")
