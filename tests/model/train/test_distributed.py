"""Two processes, which torchrun starts, train as one does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from model.core.errors import InputError
from model.data.archive_writer import ArchiveWriter
from model.data.synthetic_storms import synthesise
from model.train.distributed import DistributedContext
from model.train.run_folder import BEST, LAST
from tests.model.train import tiny, two_ranks
from tests.patience import WAIT_SECONDS


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks") / "archive"
    storms = synthesise(frames=30, shape=(64, 80), step_minutes=5.0, seed=5)
    with ArchiveWriter(folder, storms.grid, 5.0, {"source": "synthetic storms"}) as writer:
        for time, rain in zip(storms.times, storms.rain_rate, strict=True):
            writer.append(time, rain)
    return folder


def torchrun(project, *words):
    """Return the output of two processes, which succeed."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(project), "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"}
    done = subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, timeout=2 * WAIT_SECONDS
    )
    assert done.returncode == 0, done.stderr[:5000]
    return done.stdout


@pytest.fixture(scope="module")
def one_and_two(archive, project, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    threads = torch.get_num_threads()
    two_ranks.main(archive, out / "one")
    torch.set_num_threads(threads)
    torchrun(project, "-m", "tests.model.train.two_ranks", archive, out / "two")
    return out / "one", out / "two"


@pytest.mark.parametrize("name", [*two_ranks.FRAMES, *two_ranks.RAIN])
def test_two_ranks_learn_like_one_process(name, one_and_two):
    one, two = (folder / name for folder in one_and_two)
    assert len(set(tiny.losses(one))) == 4
    assert tiny.losses(two) == pytest.approx(tiny.losses(one), rel=2e-6)
    norms = [[line["gradient_norm"] for line in tiny.lines(out)] for out in (one, two)]
    assert norms[1] == pytest.approx(norms[0], rel=1e-5)
    for of_two, of_one in zip(tiny.validations(two), tiny.validations(one), strict=True):
        assert of_two == pytest.approx(of_one, rel=1e-4)
    for checkpoint, part in ((LAST, "net"), (LAST, "ema"), (BEST, "ema")):
        of_two, of_one = (tiny.load(out, checkpoint)[part] for out in (two, one))
        assert all(torch.allclose(of_two[each], of_one[each], rtol=1e-4, atol=2e-6) for each in of_one)


def test_the_command_line_is_one_of_two_ranks_too(archive, project, tmp_path):
    words = ("--batch", 2, "--iterations", 2, "--set", "validation_windows=4", "--set", "model.net.hidden=4")
    output = torchrun(
        project,
        *(
            "-m",
            "service.cli",
            "train",
            "rain-ms-predrnn-tiny",
            "--archive",
            archive,
            "--out",
            tmp_path / "run",
            *words,
        ),
    )
    assert output.count("Best weights in") == 1
    assert len(tiny.losses(tmp_path / "run")) == 2


def test_running_statistics_are_averaged_over_ranks(one_and_two):
    _, two = one_and_two
    kept = [torch.load(two / f"norm-{rank}-of-2.pt") for rank in range(2)]
    assert kept[0].item() == kept[1].item() == pytest.approx(0.05)  # a tenth, the norm's momentum, of 0 and of 1


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the system does not tell")
def test_no_thread_of_the_ranks_is_left_that_could_abort_python_at_its_end(one_and_two):
    _, two = one_and_two
    for rank in range(2):
        assert "gloo" not in (two / f"threads-{rank}-of-2").read_text()


def test_every_window_is_one_ranks():
    for parts in (1, 2):
        rows = [DistributedContext(rank=rank, world_size=3).rows(12, parts) for rank in range(3)]
        assert sorted(sum(rows, ())) == list(range(12))
        assert {len(each) for each in rows} == {4}
    assert DistributedContext(rank=1, world_size=3).rows(12, 2) == (2, 3, 8, 9)  # of each part an equal share


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(InputError, match="a batch of 8 in 1 parts cannot be shared equally by 3 processes"):
        DistributedContext(rank=1, world_size=3).rows(8, 1)
