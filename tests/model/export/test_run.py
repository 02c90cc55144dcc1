"""Training runs become packages; other folders and damaged runs are reported."""

import json
from dataclasses import replace

import pytest
import torch

from model.core.catalog import DEFAULT_MODEL
from model.core.errors import InputError
from model.core.package_digest import verify_package
from model.data.moving_mnist import open_moving_mnist
from model.export.run import load_run
from model.nets.simvp import SimVPConfig
from model.train.loop import train
from model.train.recipes import RECIPES


def trained(name, out):
    """Two iterations of a recipe for Moving MNIST, all of it as it is but the network's width and the batch."""
    recipe = RECIPES[name]()
    net = recipe.model.net
    if isinstance(net, SimVPConfig):
        net = replace(net, hidden=4, translator_hidden=8, translator_layers=2)
    else:
        net = replace(net, hidden=8)
    recipe = replace(
        recipe,
        model=replace(recipe.model, net=net),
        iterations=2,
        batch=2,
        validation_windows=2,
        bfloat16=False,
    )
    train(recipe, open_moving_mnist(context=recipe.windows.context, leads=recipe.windows.leads), out)
    return out


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return trained("mnist-ms-predrnn-v2", tmp_path_factory.mktemp("runs") / "mnist")


@pytest.fixture
def run(finished, tmp_path):
    """A run that a test may damage."""
    folder = tmp_path / "run"
    folder.mkdir()
    for path in (each for each in finished.iterdir() if each.is_file()):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.mark.parametrize(
    ("recipe", "layer", "pictures"), [("mnist-ms-predrnn-v2", "cell 6", 3), ("mnist-tau", "translator 1", 2)]
)
def test_a_run_on_moving_mnist_becomes_a_package_that_is_not_a_model_of_rain(
    recipe, layer, pictures, finished, echocast, tmp_path
):
    folder = finished if recipe == "mnist-ms-predrnn-v2" else trained(recipe, tmp_path / "run")
    packages = tmp_path / "packages"
    code, out, err = echocast("export", folder, "--out", packages, "--name", "digits", "--version", 1)
    assert code == 0, err
    manifest = verify_package(packages / "digits/1")
    assert (manifest.kind, manifest.frame_of_reference, manifest.input_frames) == ("frames", "eulerian", 10)
    assert manifest.training is not None
    assert manifest.training.recipe["name"] == recipe
    assert set(manifest.training.held_out) >= {"mse", "ssim"}
    card = (packages / "digits/1/card.md").read_text()
    assert "mse" in card
    assert "rain area" not in card

    code, out, err = echocast("models", "show", "digits", "--packages", packages)
    assert code == 0, err
    assert layer in out
    assert "makes no nowcast" in out

    words = ("--packages", packages, "--out", tmp_path / "looked-at", "--steps", 2, "--json")
    code, out, err = echocast("analyze", "digits", *words)
    assert code == 0, err
    analysis = json.loads(out)
    assert len(analysis["pictures"]) == pictures
    assert "of moving-mnist" in analysis["models"][0]["input"]["what"]

    code, out, err = echocast("export", folder, "--out", packages, "--name", DEFAULT_MODEL, "--version", 2)
    assert code == 2
    assert "Give another --name" in err


def test_the_kind_of_frames_comes_from_the_provenance_of_the_run(run):
    assert load_run(run).kind == "frames"
    content = json.loads((run / "provenance.json").read_text())
    (run / "provenance.json").write_text(json.dumps({**content, "kind": "rain"}))
    assert load_run(run).kind == "rain"
    (run / "provenance.json").unlink()
    with pytest.raises(InputError, match="no provenance"):
        load_run(run)


def overwritten(run, **changes):
    content = torch.load(run / "best.pt", weights_only=True)
    torch.save({name: value for name, value in {**content, **changes}.items() if value is not None}, run / "best.pt")


def cut_short(run):
    (run / "best.pt").write_bytes((run / "best.pt").read_bytes()[:1000])


def with_recipe(run, **changes):
    recipe = json.loads((run / "recipe.json").read_text())
    (run / "recipe.json").write_text(json.dumps({**recipe, **changes}))


DAMAGED = {
    "no checkpoint": lambda run: (run / "best.pt").write_bytes(b"no weights"),
    "empty checkpoint": lambda run: (run / "best.pt").write_bytes(b""),
    "a checkpoint cut short": cut_short,
    "a checkpoint of another program": lambda run: torch.save([torch.zeros(1)], run / "best.pt"),
    "no weights in it": lambda run: overwritten(run, ema=None),
    "weights of another network": lambda run: overwritten(run, ema={"weight": torch.zeros(3)}),
    "no iteration": lambda run: overwritten(run, iteration=None),
    "a recipe that is no JSON": lambda run: (run / "recipe.json").write_text("{"),
    "a recipe of another program": lambda run: with_recipe(run, model="lstm"),
    "windows of another program": lambda run: with_recipe(run, windows={"frames": 4}),
    "a log cut short": lambda run: (run / "log.jsonl").write_text('{"iteration": '),
    "an older recipe": lambda run: (run / "recipe.json").write_text('{"name": "ms-predrnn"}'),
    "a folder in its place": lambda run: ((run / "best.pt").unlink(), (run / "best.pt").mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_run_is_reported(damage, run):
    damage(run)
    with pytest.raises(InputError) as refused:
        load_run(run)
    assert refused.value.where == str(run)
    assert "\n" not in str(refused.value)
    assert "rain it again" in refused.value.hint


def test_a_folder_without_a_finished_run_is_reported(run):
    (run / "best.pt").unlink()
    with pytest.raises(InputError, match=r"no best\.pt\. Give the folder of a finished"):
        load_run(run)
