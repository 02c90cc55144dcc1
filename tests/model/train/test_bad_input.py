"""Errors that a user can cause in training: one line each, nothing lost, nothing left behind."""

import json
import resource
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from model.core.errors import InputError
from model.data.archive import Archive
from model.data.archive_writer import ArchiveWriter
from model.data.synthetic_storms import synthesise
from model.train.cli import radar_windows
from model.train.loop import RunOptions, train
from model.train.overrides import apply_overrides
from model.train.recipe import Optimiser
from model.train.recipes import RECIPES
from model.train.run_folder import BEST, ITERATIONS, LAST, NAN_BATCH, PREVIOUS, RECIPE, run_folder
from tests.model.train import tiny


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("bad") / "run"
    train(tiny.recipe(iterations=2, validate_every=1), tiny.source(), out)
    return out


def archive_of(folder, step_minutes, frames=20):
    storms = synthesise(frames=frames, shape=(64, 64), step_minutes=step_minutes, seed=1)
    with ArchiveWriter(folder, storms.grid, step_minutes, {"source": "synthetic storms"}) as writer:
        for time, rain in zip(storms.times, storms.rain_rate, strict=True):
            writer.append(time, rain)
    return folder


def test_a_time_step_that_the_archive_lacks_is_named_with_its_own(tmp_path, echocast):
    archive = archive_of(tmp_path / "archive", 10.0)
    words = ("train", "rain-ms-predrnn-tiny", "--archive", archive, "--set", "windows.step_minutes=2,4,5,6")
    code, _, err = echocast(*words, "--out", tmp_path / "runs/run")
    assert code == 2
    assert err == (
        f"echocast: {archive}: its frames are 10 min apart, and the recipe rain-ms-predrnn-tiny is for steps of 2, "
        "4, 5, 6 min. Choose another recipe, or --set windows.step_minutes=10\n"
    )
    assert not (tmp_path / "runs").exists()


def test_an_archive_of_too_few_frames_is_refused(tmp_path, echocast):
    archive = archive_of(tmp_path / "archive", 5.0, frames=4)
    code, _, err = echocast("train", "rain-ms-predrnn-tiny", "--archive", archive, "--out", tmp_path / "run")
    assert code == 2
    assert "4 frames, the recipe needs at least 7" in err
    assert not (tmp_path / "run").exists()


def test_fields_for_a_recipe_that_reads_none_are_refused(tmp_path, echocast):
    words = ("train", "rain-ms-predrnn-tiny", "--archive", "x", "--fields", tmp_path, "--out", tmp_path / "run")
    code, _, err = echocast(*words)
    assert code == 2
    assert "reads no exogenous fields. Leave it out" in err


def test_an_unknown_recipe_is_refused_in_a_short_line(echocast):
    code, _, err = echocast("train", "ms-predrn", "--data", "moving-mnist")
    assert code == 2
    assert "Nearest: rain-ms-predrnn, " in err
    assert "echocast train --list" in err
    assert len(err) < 200


def test_recipes_are_listed_and_shown(echocast):
    code, out, _ = echocast("train", "--list")
    assert code == 0
    assert "rain-ms-predrnn-tiny" in out
    code, out, _ = echocast("train", "rain-ms-predrnn", "--show", "--batch", "3", "--set", "optimiser.clip_norm=none")
    assert code == 0
    assert {"batch=3", "optimiser.clip_norm=none", "loss=RainLoss"} <= set(out.splitlines())


def test_an_unwritable_folder_is_named_before_training(tmp_path, echocast):
    (tmp_path / "file").write_text("")
    code, _, err = echocast("train", "mnist-predrnn-v2", *tiny.WORDS, "--out", tmp_path / "file/run")
    assert code == 2
    assert err.startswith(f"echocast: {tmp_path}/file/run: it cannot be written (")
    assert err.endswith("Choose another --out, or make it writable\n")


def fill_disk(monkeypatch, path):
    """Let every writing of `path` fail as on a full disk."""
    part = path.with_name(f".{path.name}.{bytes(6).hex()}.part")

    def urandom(size):
        if not part.is_symlink():
            part.symlink_to("/dev/full")
        return bytes(size)

    monkeypatch.setattr("model.core.atomic.urandom", urandom)


@pytest.mark.parametrize("name", [LAST, BEST])
def test_a_full_disk_is_reported_and_earlier_files_are_intact(name, run, tmp_path, monkeypatch):
    out = shutil.copytree(run, tmp_path / "run")
    before = {kept: (out / kept).read_bytes() for kept in (LAST, BEST)}
    fill_disk(monkeypatch, out / name)
    recipe = tiny.recipe(iterations=4, validate_every=1)
    with pytest.raises(InputError, match=r"the disk is full\. Make room, and add --resume") as caught:
        train(recipe, tiny.source(), out, resume=True)
    assert caught.value.where == str(out / name)
    assert (out / name).read_bytes() == before[name]
    monkeypatch.undo()
    train(recipe, tiny.source(), out, resume=True)
    assert [line["iteration"] for line in tiny.lines(out)] == [1, 2, 3, 4]


def test_a_disk_that_is_full_before_the_first_checkpoint_leaves_the_best_weights(run, tmp_path):
    out = tmp_path / "run"
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((run / LAST).stat().st_size - 1, most))
    try:
        with pytest.raises(InputError, match=r"exceeds the size limit for files\. Make room, and train it again"):
            train(tiny.recipe(iterations=1), tiny.source(), out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert (out / BEST).exists()
    assert not (out / LAST).exists()


def test_two_commands_do_not_train_into_one_folder(run, tmp_path, echocast):
    out = shutil.copytree(run, tmp_path / "run")
    with run_folder(out):
        code, _, err = echocast("train", "mnist-predrnn-v2", *tiny.WORDS, "--out", out, "--resume")
    assert code == 2
    assert err == f"echocast: {out}: another command trains into it. Wait for it, or choose another --out\n"


def test_a_full_disk_for_the_log_is_reported(run, tmp_path, monkeypatch):
    out = shutil.copytree(run, tmp_path / "run")
    before = (out / ITERATIONS).read_bytes()
    fill_disk(monkeypatch, out / ITERATIONS)
    with pytest.raises(InputError, match="the disk is full"):
        train(tiny.recipe(iterations=3, validate_every=1), tiny.source(), out, resume=True)
    assert tiny.load(out, LAST)["iteration"] == 2
    assert (out / ITERATIONS).read_bytes() == before


class Poisoned:
    """Moving MNIST, but the windows of one iteration have values for which the loss overflows."""

    channels = 1
    kind = "frames"

    def __init__(self, iteration):
        self.source = tiny.source()
        self.iteration = iteration

    def training(self, rng, batch):
        poisoned = rng.bit_generator.seed_seq.entropy == (tiny.recipe().seed, self.iteration)
        for windows in self.source.training(rng, batch):
            value = np.float32(1e30 if poisoned else 1)
            yield [replace(window, target=window.target * value) for window in windows]

    def held_out(self, seed, batch, count):
        return self.source.held_out(seed, batch, count)

    def provenance(self):
        return self.source.provenance()


def test_a_loss_that_is_not_finite_stops_the_run_and_saves_the_batch(tmp_path):
    out = tmp_path / "run"
    recipe = tiny.recipe(sampling=None, optimiser=Optimiser(learning_rate=1e-3, schedule="constant"))
    with pytest.raises(InputError) as caught:
        train(recipe, Poisoned(8), out, options=RunOptions(checkpoint_every=1))
    message = str(caught.value)
    assert f"{out}: the loss is not finite at iteration 8 (loss inf, 0." in message
    assert "learning rate 0.001, gradient norm " in message
    assert f"the batch is in {NAN_BATCH}, and the earlier checkpoints are intact" in message
    assert (
        f"lower --set optimiser.learning_rate or --set optimiser.clip_norm, into another --out --init {out}" in message
    )
    batch = torch.load(out / NAN_BATCH, weights_only=True)
    assert batch["frames"][0].shape == (2, 6, 1, 64, 64)
    assert batch["frames"][0].max() > 1e29
    assert tiny.load(out, LAST)["iteration"] == 8
    assert all(tensor.isfinite().all() for tensor in tiny.load(out, LAST)["net"].values())
    assert tiny.load(out, BEST)["iteration"] == 6
    train(recipe, Poisoned(-1), out, resume=True)
    assert len(tiny.losses(out)) == 12


def test_a_failed_start_leaves_no_folder_behind(tmp_path):
    with pytest.raises(InputError, match="3 context frames, the recipe needs 4"):
        train(tiny.recipe(windows=replace(tiny.recipe().windows, context=4)), tiny.source(), tmp_path / "runs/a/run")
    assert list(tmp_path.iterdir()) == []


def test_files_from_before_a_failed_start_stay(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError):
        train(tiny.recipe(), tiny.source(), tmp_path, options=RunOptions(init=tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_recipe_that_describes_no_network_is_named(tmp_path):
    odd = ["model.net.hidden=3", "model.net.frames=3", "windows.context=3", "windows.leads=3", "batch=2"]
    with pytest.raises(InputError, match="no network can be built from this recipe"):
        train(apply_overrides(RECIPES["mnist-tau"](), odd), tiny.source(), tmp_path / "run")


def test_a_run_starts_with_the_weights_of_another(run, tmp_path):
    train(tiny.recipe(iterations=1), tiny.source(), tmp_path / "tuned", options=RunOptions(init=run))
    slow = Optimiser(learning_rate=0.0, schedule="constant")
    train(tiny.recipe(iterations=1, optimiser=slow), tiny.source(), tmp_path / "same", options=RunOptions(init=run))
    assert tiny.same(tiny.load(tmp_path / "same", LAST)["net"], tiny.load(run, BEST)["ema"])
    kept = json.loads((tmp_path / "same" / RECIPE).read_text())["init"]
    assert kept["from"] == run.name
    assert len(kept["weights_sha256"]) == 64
    train(tiny.recipe(iterations=2, optimiser=slow), tiny.source(), tmp_path / "same", resume=True)
    assert json.loads((tmp_path / "same" / RECIPE).read_text())["init"] == kept


def test_weights_of_equal_shapes_with_other_settings_are_refused(run, tmp_path):
    """A forget bias has no tensor of its own, and plain and multi-scale networks have the same tensors."""
    recipe = tiny.recipe()
    net = replace(recipe.model.net, forget_bias=0.0)
    other = replace(recipe, model=replace(recipe.model, net=net))
    with pytest.raises(InputError, match=r"its forget_bias is 1.0, here 0.0.*--set model.net.forget_bias=1.0"):
        train(other, tiny.source(), tmp_path / "tuned", options=RunOptions(init=run))
    assert not (tmp_path / "tuned").exists()


def test_weights_of_another_network_are_refused(run, tmp_path, echocast):
    words = ("train", "mnist-predrnn-v2", *tiny.WORDS, "--out", tmp_path / "run", "--init")
    code, _, err = echocast(*words, run, "--set", "model.net.hidden=6")
    assert code == 2
    assert f"{run}: its weights are of another network: " in err
    assert " is 4 x " in err or " is 16 x " in err or "x 4" in err
    code, _, err = echocast(*words, tmp_path)
    assert code == 2
    assert "neither a package nor a run" in err
    code, _, err = echocast(*words, run, "--resume")
    assert code == 2
    assert "Leave it out to continue with --resume" in err
    assert not (tmp_path / "run").exists()


def test_two_checkpoints_are_stored(run):
    assert tiny.load(run, LAST)["iteration"] == 2
    assert tiny.load(run, PREVIOUS)["iteration"] == 1


def test_a_crop_that_fits_no_stride_is_refused_with_crops_that_fit(tmp_path, echocast):
    archive = archive_of(tmp_path / "archive", 5.0)
    words = ("train", "rain-ms-predrnn-tiny", "--archive", archive, "--out", tmp_path / "run")
    code, _, err = echocast(*words, "--set", "windows.crop=50")
    assert code == 2
    assert "the frames are 50 x 50, the network needs multiples of 16" in err
    assert err.endswith("Add --set windows.crop=48 or --set windows.crop=64\n")
    assert not (tmp_path / "run").exists()


def test_one_short_archive_is_left_out_by_name_and_the_others_are_trained_on(tmp_path, caplog):
    recipe = tiny.rain_recipe(iterations=1, validation_windows=2)
    good, short = (archive_of(tmp_path / name, 5.0, frames=n) for name, n in (("good", 20), ("short", 4)))
    source = radar_windows([good, short], recipe, tmp_path / "cache", None)
    assert f"an archive is left out: {short}: 4 frames, the recipe needs at least 6" in caplog.text
    assert "--set windows.min_leads" in caplog.text
    assert [archive.root for archive in source.archives] == [good]
    assert source.provenance().digest == Archive(good).digest()
    train(recipe, source, tmp_path / "run")
    with pytest.raises(InputError, match="4 frames, the recipe needs at least 6"):
        radar_windows([short], recipe, tmp_path / "cache", None)


def test_an_archive_too_short_to_hold_out_its_end_is_refused_with_the_setting(tmp_path, echocast):
    archive = archive_of(tmp_path / "archive", 6.0, frames=30)
    words = ("train", "rain-ms-predrnn-tiny", "--archive", archive, "--out", tmp_path / "run", "--iterations", "1")
    words = (*words, "--set", "windows.context=6", "--set", "windows.min_leads=6", "--set", "validation_windows=2")
    code, _, err = echocast(*words)
    assert code == 2
    assert "no run of 6 + 6 frames at any of the steps 2, 4, 5, 6, 10, 15 min, to hold out" in err
    assert "--set holdout.short_minutes=175" in err
    code, _, err = echocast(*words, "--set", "holdout.short_minutes=175")
    assert code == 0, err


def test_an_archive_without_data_does_not_stop_training_on_others(tmp_path, caplog):
    recipe = tiny.rain_recipe(iterations=4, validation_windows=2)
    good = archive_of(tmp_path / "good", 5.0)
    blind = tmp_path / "blind"
    with ArchiveWriter(blind, Archive(good).grid, 5.0, {}) as writer:
        for time in Archive(good).times:
            writer.append(time, np.full((64, 64), np.nan, np.float32))
    train(recipe, radar_windows([good, blind], recipe, tmp_path / "cache", None), tmp_path / "run")
    assert [line["iteration"] for line in tiny.lines(tmp_path / "run")] == [1, 2, 3, 4]
    assert caplog.text.count("an archive is left out of the training: ") == 1
    assert caplog.text.count("an archive is left out of the validation: ") == 1
    with pytest.raises(InputError, match="hardly any pixel holds data"):
        train(recipe, radar_windows([blind], recipe, tmp_path / "cache", None), tmp_path / "other")


@pytest.mark.parametrize(
    ("setting", "data", "hint"),
    [
        ("windows.crop=32", "moving-mnist", "Leave it out"),
        ("holdout.time_fraction=0.1", "kth:here", "Leave it out"),
        ("selection_thresholds_mm_h=5", "taxibj:here", "Leave it out"),
        ("windows.crop=32", "frames:here.npy", "Write it into --data: frames:here.npy,crop=32"),
        ("windows.step_minutes=5", "frames:here.npy", "Write it into --data: frames:here.npy,step=5"),
        ("holdout.short_minutes=5", "frames:here.npy", "Leave it out"),
    ],
)
def test_settings_without_effect_on_a_data_set_are_refused(setting, data, hint, tmp_path, echocast):
    code, _, err = echocast("train", "mnist-predrnn", "--data", data, "--set", setting, "--out", tmp_path / "run")
    assert code == 2
    name, field = data.partition(":")[0], setting.partition("=")[0]
    message = f"--set {field}: it applies to radar archives: --data {name} does not use it. {hint}\n"
    assert err == f"echocast: {message}"
    assert not (tmp_path / "run").exists()
