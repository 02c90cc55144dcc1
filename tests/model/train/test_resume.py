"""A run that was interrupted ends where an uninterrupted one does, to the bit, whatever interrupted it."""

import os
import shutil
import signal
import subprocess
import sys

import pytest
import torch

from model.core.errors import InputError
from model.train.loop import RunOptions, train
from model.train.run_folder import BEST, DAMAGED, ITERATIONS, LAST, LOG, PREVIOUS
from model.train.signals import StopSignal, TrainingInterrupted
from tests.model.train import tiny
from tests.patience import WAIT_SECONDS, wait_until


@pytest.fixture(autouse=True)
def one_thread():
    """Sums of several threads round otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing interrupted."""
    out = tmp_path_factory.mktemp("whole") / "run"
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    train(tiny.recipe(), tiny.source(), out)
    torch.set_num_threads(before)
    return out


def assert_equal_runs(out, whole):
    """Assert that a run ended like the uninterrupted one: losses, validations and checkpoints are equal."""
    assert [line["iteration"] for line in tiny.lines(out)] == list(range(1, 13))
    assert tiny.losses(out) == tiny.losses(whole)
    assert tiny.validations(out) == tiny.validations(whole)
    assert tiny.same(tiny.load(out, LAST), tiny.load(whole, LAST))
    assert tiny.same(tiny.load(out, BEST), tiny.load(whole, BEST))


def stopped_after(iteration, out, **options):
    """Train until the end of an iteration, where a signal stops it."""
    stop = StopSignal()

    def on_progress(done, figures):
        if done == iteration and "loss" in figures:
            stop.number = signal.SIGINT

    with pytest.raises(TrainingInterrupted) as caught:
        train(tiny.recipe(), tiny.source(), out, stop=stop, on_progress=on_progress, **options)
    assert caught.value.iteration == iteration
    assert caught.value.signal == signal.SIGINT


@pytest.mark.parametrize("iteration", [1, 6, 11, 12])
def test_a_stopped_run_resumes_as_if_it_had_not_been_stopped(iteration, whole, tmp_path):
    stopped_after(iteration, tmp_path / "run")
    assert tiny.load(tmp_path / "run", LAST)["iteration"] == iteration
    train(tiny.recipe(), tiny.source(), tmp_path / "run", resume=True)
    assert_equal_runs(tmp_path / "run", whole)


def test_a_run_may_be_stopped_again_and_again(whole, tmp_path):
    stopped_after(2, tmp_path / "run")
    for iteration in (3, 6, 10):
        stopped_after(iteration, tmp_path / "run", resume=True)
    train(tiny.recipe(), tiny.source(), tmp_path / "run", resume=True)
    assert_equal_runs(tmp_path / "run", whole)


@pytest.mark.parametrize(("every", "minutes", "last"), [(3, 10.0, 9), (None, 0.0, 9)])
def test_checkpoints_come_without_validations(every, minutes, last, whole, tmp_path):
    def interrupt(iteration, figures):
        if iteration == 10 and "loss" in figures:
            raise RuntimeError("the machine is gone")

    options = RunOptions(checkpoint_every=every, checkpoint_minutes=minutes)
    with pytest.raises(RuntimeError, match="gone"):
        train(tiny.recipe(), tiny.source(), tmp_path / "run", options=options, on_progress=interrupt)
    assert tiny.load(tmp_path / "run", LAST)["iteration"] == last
    train(tiny.recipe(), tiny.source(), tmp_path / "run", resume=True)
    assert_equal_runs(tmp_path / "run", whole)


STEADY = ("--set", "optimiser.schedule=constant", "--set", "sampling=none")
"""What makes an iteration's loss independent of how many are to come."""


def started(out, *words):
    """`echocast train` in a process of its own, which has trained for some iterations."""
    command = [
        sys.executable,
        "-m",
        "service.cli",
        "train",
        "mnist-predrnn-v2",
        *tiny.WORDS,
        *STEADY,
        "--out",
        str(out),
    ]
    process = subprocess.Popen(
        [*command, "--iterations", "100000", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_until(
        lambda: process.poll() is not None or ((out / ITERATIONS).exists() and len(tiny.lines(out)) >= 8),
        "the first iterations",
    )
    return process


def on_to_the_end(out, iterations, echocast):
    """Resume a run, and see that it is then as one of so many iterations that nothing interrupted."""
    words = ("train", "mnist-predrnn-v2", *tiny.WORDS, *STEADY, "--iterations", iterations)
    for run, more in ((out, ["--resume"]), (out.with_name("unbroken"), [])):
        code, _, err = echocast(*words, "--out", run, *more)
        assert code == 0, err
    assert [line["iteration"] for line in tiny.lines(out)] == list(range(1, iterations + 1))
    assert tiny.losses(out) == tiny.losses(out.with_name("unbroken"))
    assert tiny.validations(out) == tiny.validations(out.with_name("unbroken"))
    assert tiny.same(tiny.load(out, LAST), tiny.load(out.with_name("unbroken"), LAST))


def test_a_killed_run_resumes_without_a_step_in_its_loss_curve(tmp_path, echocast):
    out = tmp_path / "run"
    process = started(out, "--checkpoint-every", "4")
    wait_until((out / LAST).exists, "the first checkpoint")
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert tiny.load(out, LAST)["iteration"] < len(tiny.lines(out)) + 4
    reached = tiny.lines(out)[-1]["iteration"]
    with (out / ITERATIONS).open("a") as log:
        log.write(f'{{"iteration": {reached + 1}, "los')  # as a kill may cut it
    on_to_the_end(out, reached + 3, echocast)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_names_the_command_that_resumes_it(number, tmp_path, echocast):
    out = tmp_path / "run"
    process = started(out)
    process.send_signal(number)
    _, err = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 128 + number
    done = tiny.load(out, LAST)["iteration"]
    assert [line["iteration"] for line in tiny.lines(out)] == list(range(1, done + 1))
    [notice] = [line for line in err.splitlines() if line.startswith("Stopped")]
    assert notice.startswith(f"Stopped after iteration {done}. Resume with: echocast train mnist-predrnn-v2 ")
    assert notice.endswith("--iterations 100000 --resume")
    if number == signal.SIGINT:
        on_to_the_end(out, done + 2, echocast)


def test_a_second_signal_stops_at_once():
    stop = StopSignal()
    with stop.installed():
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.number == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_signal_before_the_first_iteration_leaves_nothing(tmp_path):
    stop = StopSignal()
    stop.number = signal.SIGTERM
    with pytest.raises(TrainingInterrupted):
        train(tiny.recipe(), tiny.source(), tmp_path / "runs/new", stop=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["cut short", "gone"])
def test_the_checkpoint_before_replaces_a_damaged_one(damage, whole, tmp_path):
    stopped_after(9, tmp_path / "run")
    last = tmp_path / "run" / LAST
    if damage == "gone":  # killed between the two renames of a checkpoint
        last.unlink()
    else:
        last.write_bytes(last.read_bytes()[:3000])
    notices = []
    train(tiny.recipe(), tiny.source(), tmp_path / "run", resume=True, notify=notices.append)
    assert notices == [f"{last} cannot be read: resuming from {PREVIOUS}, after 6 iterations"]
    assert (tmp_path / "run" / DAMAGED).exists() == (damage != "gone")
    assert_equal_runs(tmp_path / "run", whole)


def test_lost_best_weights_are_reported_and_written_again(tmp_path, whole):
    stopped_after(7, tmp_path / "run")
    (tmp_path / "run" / BEST).write_bytes(b"")
    notices = []
    train(tiny.recipe(), tiny.source(), tmp_path / "run", resume=True, notify=notices.append)
    assert notices == [f"{tmp_path / 'run' / BEST} cannot be read: the next validation writes a new one"]
    assert tiny.same(tiny.load(tmp_path / "run", BEST), tiny.load(whole, BEST))


def test_better_weights_from_after_the_checkpoint_are_not_lost(tmp_path):
    """Where the run was killed after its best weights, and before its checkpoint, were written."""
    stopped_after(7, tmp_path / "run")
    best = tiny.load(tmp_path / "run", BEST)
    torch.save({**best, "best": 1e9, "iteration": 12}, tmp_path / "run" / BEST)
    train(tiny.recipe(), tiny.source(), tmp_path / "run", resume=True)
    assert tiny.load(tmp_path / "run", BEST)["best"] == 1e9


def test_a_finished_run_is_reported_and_unchanged(whole, tmp_path):
    run = shutil.copytree(whole, tmp_path / "run")
    notices = []
    train(tiny.recipe(), tiny.source(), run, resume=True, notify=notices.append)
    assert notices == ["The run is finished: 12 iterations. To continue, add --iterations or --minutes"]
    for name in (LAST, BEST, LOG, ITERATIONS):
        assert (run / name).read_bytes() == (whole / name).read_bytes()


def test_settings_that_do_not_change_the_result_may_change(whole, tmp_path):
    run = shutil.copytree(whole, tmp_path / "run")
    train(tiny.recipe(iterations=13, checkpoint_activations=True), tiny.source(), run, resume=True)
    with pytest.raises(InputError, match="another recipe: batch was 2, is 4"):
        train(tiny.recipe(batch=4), tiny.source(), run, resume=True)
