"""Synthetic archive -> train -> verify -> export -> nowcast, through the command line as a user would."""

import json
import shutil

import numpy as np
import pytest
import torch
import xarray as xr
from click.testing import CliRunner

from model.core.manifest import read_manifest
from model.core.package_digest import verify_package
from model.train.cli import train
from tests.archives import storm_archive


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cycle")


@pytest.fixture(scope="module")
def archive(folder):
    settings = {"frames": 40, "shape": (128, 160), "step_minutes": 5.0, "seed": 5}
    return storm_archive(folder / "archive", source="synthetic storms", **settings)


@pytest.fixture(scope="module")
def run(archive, folder):
    """A run of 20 iterations. Who changes it copies it."""
    words = ("rain-ms-predrnn-tiny", "--archive", archive, "--out", folder / "run", "--iterations", 20)
    done = CliRunner().invoke(train, [*map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "best.pt" in done.output
    return folder / "run"


def test_the_whole_cycle(echocast, archive, folder, run):
    code, out, err = echocast(
        *("export", run, "--out", folder / "packages", "--name", "mine", "--version", "1"),
    )
    assert code == 0, err
    manifest = verify_package(folder / "packages/mine/1")
    assert manifest.training is not None
    assert manifest.training.sources == ("synthetic storms",)
    # Of the recipe's 2, 4, 5, 6, 10 and 15 min, frames every 5 min make windows of 5, 10 and 15.
    steps = manifest.training.step_minutes
    assert set(steps) <= {5.0, 10.0, 15.0}
    assert (manifest.time_step.min_minutes, manifest.time_step.max_minutes) == (min(steps), max(steps))
    assert [seen.name for seen in manifest.training.archives] == ["archive"]
    lasts = f"{3 * min(steps):g} to {3 * max(steps):g} min from the first to the newest"
    assert lasts in (folder / "packages/mine/1/card.md").read_text()
    assert lasts in " ".join(echocast("models", "show", "mine", "--packages", folder / "packages")[1].split())

    code, out, err = echocast(
        "verify", "mine", "extrapolation", "--archive", archive, "--packages", folder / "packages", "--json"
    )
    assert code == 0, err
    assert "mine@1 was trained on 1 of these 1 days of archive" in err
    report = json.loads(out)
    assert report["models"]["mine@1"]["trained_on_days"] == report["days"]
    assert "trained_on_days" not in report["models"]["extrapolation@1"]
    assert report["protocol"] == "nowcast-60@1"
    assert report["lead_minutes"] == [5.0 * lead for lead in range(1, 13)]
    assert 0 < report["models"]["mine@1"]["csi"][0][0] <= 1
    (folder / "scores.json").write_text(out)

    code, out, err = echocast(
        *("export", run, "--out", folder / "packages", "--name", "mine", "--version", "2"),
        *("--scores", folder / "scores.json"),
    )
    assert code == 0, err
    card = (folder / "packages/mine/2/card.md").read_text()
    assert "CSI at 0.5 mm/h by lead time" in card
    assert f"{report['models']['extrapolation@1']['csi'][0][0]:.3f}" in card
    assert "mine@2" in card
    assert "was trained on this archive" in card
    assert read_manifest(folder / "packages/mine/2").scores[0].data == "archive (with training days)"

    report["models"]["mine@1"]["weights_sha256"] = "0" * 64
    (folder / "others.json").write_text(json.dumps(report))
    words = ("export", run, "--out", folder / "packages", "--name", "mine", "--version", "3")
    code, out, err = echocast(*words, "--scores", folder / "others.json")
    assert code == 2
    assert "of other weights" in err

    storms = sorted((archive / "radarPNG").rglob("*.png"))[:5]
    code, out, err = echocast(
        *("nowcast", *storms, "--packages", folder / "packages", "--model", "mine@2", "--steps", 3),
        *("--out", folder / "n.nc", "--json"),
    )
    assert code == 0, err
    assert json.loads(out)["model"] == "mine@2"
    with xr.open_dataset(folder / "n.nc") as nowcast:
        assert nowcast["rainfall_rate"].shape == (3, 128, 160)
        assert np.isfinite(nowcast["rainfall_rate"].values).any()


def test_scores_that_are_something_else_are_refused(echocast, folder, run):
    (folder / "something.json").write_text("{}")
    words = ("export", run, "--out", folder / "packages", "--name", "mine", "--version", "8")
    for name, reason in (
        ("something.json", "no output of echocast verify"),
        ("absent.json", "No such file or directory"),
    ):
        code, _, err = echocast(*words, "--scores", folder / name)
        assert code == 2
        assert f"{name}: not scores ({reason}). Give the output of echocast verify --json" in err


def test_the_card_names_the_licence_and_the_initial_weights(echocast, archive, folder, run):
    words = ("--archive", archive, "--out", folder / "tuned", "--iterations", 1)
    code, _, err = echocast("train", "rain-ms-predrnn-tiny", *words, "--init", run)
    assert code == 0, err
    words = ("--out", folder / "packages", "--name", "tuned", "--version", "1", "--licence", "CC BY 4.0")
    code, _, err = echocast("export", folder / "tuned", *words)
    assert code == 0, err
    card = (folder / "packages/tuned/1/card.md").read_text()
    assert "- Licence: CC BY 4.0." in card
    assert f"- Initial weights: those of `{run.name}`" in card
    training = read_manifest(folder / "packages/tuned/1").training
    assert [seen.name for seen in training.archives] == ["archive", "archive"]  # its own, and before that the run's
    assert training.provenance_gaps == ""
    shipped = folder / "from-imported"
    shutil.copytree(folder / "packages/tuned/1", shipped)
    manifest = json.loads((shipped / "manifest.json").read_text())
    (shipped / "manifest.json").write_text(json.dumps({**manifest, "training": None}))
    words = ("--archive", archive, "--out", folder / "tuned-again", "--iterations", 1)
    assert echocast("train", "rain-ms-predrnn-tiny", *words, "--init", shipped)[0] == 0
    words = ("--out", folder / "packages", "--name", "tuned-again", "--version", "1")
    assert echocast("export", folder / "tuned-again", *words)[0] == 0
    assert "The training data of tuned@1 is not recorded." in (folder / "packages/tuned-again/1/card.md").read_text()


def test_a_run_without_time_steps_is_not_exported(echocast, folder, run):
    older = folder / "older"
    shutil.copytree(run, older)
    kept = torch.load(older / "best.pt", weights_only=True)
    torch.save({name: value for name, value in kept.items() if name != "steps"}, older / "best.pt")
    code, _, err = echocast("export", older, "--out", folder / "packages", "--name", "older", "--version", "1")
    assert code == 2
    assert "did not record the time steps of its training windows" in err


def test_a_run_is_not_written_into_an_archive(echocast, archive):
    code, _, err = echocast("train", "rain-ms-predrnn-tiny", "--archive", archive, "--out", archive)
    assert code == 2
    assert err == f"echocast: {archive}: it is an archive of radar frames. Choose another --out\n"


def test_an_export_that_cannot_be_written_is_reported(echocast, folder, run):
    (folder / "file").write_text("")
    words = ("export", run, "--name", "mine", "--version", "9")
    code, _, err = echocast(*words, "--out", folder / "file/packages")
    assert code == 2
    assert err.startswith(f"echocast: {folder}/file/packages/mine/9: it cannot be written (")
    code, _, err = echocast("archive", "synth", folder / "file/x.nc", "--frames", 2, "--size", "32x32")
    assert code == 2
    assert "it cannot be written (" in err


def test_a_version_never_changes(echocast, run, tmp_path):
    words = ("export", run, "--out", tmp_path, "--name", "mine", "--version", "1")
    assert echocast(*words)[0] == 0
    code, _, err = echocast(*words)
    assert code == 2
    assert "versions never change" in err


def test_a_run_is_not_overwritten_but_resumed(echocast, archive, run, tmp_path):
    run = shutil.copytree(run, tmp_path / "run")
    words = ("train", "rain-ms-predrnn-tiny", "--archive", archive, "--out", run)
    code, _, err = echocast(*words, "--iterations", 25)
    assert code == 2
    assert "--resume" in err
    code, _, err = echocast(*words, "--iterations", 25, "--resume")
    assert code == 0, err
    kept = torch.load(run / "last.pt", weights_only=True)
    assert kept["iteration"] == 25


def test_a_run_is_resumed_with_its_own_recipe(echocast, archive, folder):
    words = ("--archive", archive, "--out", folder / "own")
    settings = ("--set", "optimiser.learning_rate=1e-3", "--batch", 1)
    code, _, err = echocast("train", "rain-ms-predrnn-tiny", *words, *settings, "--iterations", 1)
    assert code == 0, err
    code, _, err = echocast("train", *words, "--resume", "--iterations", 2)
    assert code == 0, err
    assert torch.load(folder / "own/last.pt", weights_only=True)["iteration"] == 2
    kept = json.loads((folder / "own/recipe.json").read_text())
    assert kept["optimiser"]["learning_rate"] == 1e-3
    assert kept["batch"] == 1


def test_resuming_without_a_run_is_refused(echocast, archive, folder):
    code, _, err = echocast("train", "--archive", archive, "--out", folder / "none", "--resume")
    assert code == 2
    assert "nothing to resume" in err
    assert "Name a RECIPE to start" in err


def test_a_run_of_another_recipe_is_not_resumed(echocast, archive, folder, run):
    shutil.copytree(run, folder / "other")
    words = ("--archive", archive, "--out", folder / "other", "--resume")
    code, _, err = echocast("train", "rain-ms-predrnn", *words)
    assert code == 2
    assert "name was rain-ms-predrnn-tiny, is rain-ms-predrnn" in err
    code, _, err = echocast("train", "rain-ms-predrnn-tiny", *words, "--batch", 3, "--iterations", 30)
    assert code == 2
    assert "another recipe: batch was 2, is 3. " in err


def test_training_without_an_archive_explains_how_to_make_one(echocast, folder):
    code, _, err = echocast("train", "rain-ms-predrnn-tiny", "--archive", folder / "nowhere", "--out", folder / "x")
    assert code == 2
    assert "echocast archive import" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("words", [(), ("--data", "moving-mnist", "--archive", "x")])
def test_training_needs_archives_or_a_data_set(echocast, folder, words):
    code, _, err = echocast("train", "rain-ms-predrnn-tiny", *words, "--out", folder / "y")
    assert code == 2
    assert "either --archive (once or more) or --data" in err
    assert err.count("\n") == 1


def test_a_recipe_for_rain_is_refused_other_frames(echocast, folder):
    code, _, err = echocast("train", "rain-ms-predrnn-tiny", "--data", "moving-mnist", "--out", folder / "y")
    assert code == 2
    assert "its loss is for rain" in err


def test_training_lowers_the_loss(archive, folder):
    from dataclasses import replace

    from model.data.archive import Archive
    from model.data.radar_dataset import RadarDataset
    from model.train import loop
    from model.train.recipes import ms_predrnn_tiny

    class SameWindows(RadarDataset):  # windows differ more than 120 iterations can lower the loss
        def training(self, rng, batch):
            return super().training(np.random.default_rng(0), batch)

    losses = []
    recipe = replace(ms_predrnn_tiny(), iterations=120, batch=4)
    loop.train(
        recipe,
        SameWindows([Archive(archive)], recipe.windows, recipe.holdout, folder / "cache"),
        folder / "longer",
        on_progress=lambda _, scores: losses.append(scores["loss"]) if "loss" in scores else None,
    )
    assert np.mean(losses[-15:]) < 0.9 * np.mean(losses[:5])
