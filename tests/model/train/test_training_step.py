"""What an iteration does: which optimiser, on which weights, in how many parts, compiled or not; and the loader."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

from model.train.batch import collate
from model.train.data_loader import draw_windows, load_batches
from model.train.distributed import SINGLE_PROCESS
from model.train.forecast_plots import plot_forecasts
from model.train.recipe import Optimiser
from model.train.state import initial_state
from model.train.training_step import training_step
from tests.model.train import tiny

CPU = torch.device("cpu")


def one_batch(recipe):
    return collate(draw_windows(tiny.source(), recipe.seed, 0, recipe.batch), CPU)


def test_weight_decay_is_on_the_weights_of_layers_alone():
    recipe = tiny.recipe("ms-rnn/predrnn-pp")
    settings = Optimiser(kind="adamw", learning_rate=0.1, weight_decay=0.5, schedule="constant", ema_decay=0.0)
    net = replace(recipe.model.net, hidden=4, scales=(1, 1), layer_norm=True, bias=True, embed="none")
    recipe = replace(recipe, optimiser=settings, model=replace(recipe.model, net=net))
    run = initial_state(recipe, CPU)
    before = {name: parameter.detach().clone() for name, parameter in run.net.named_parameters()}
    for parameter in run.net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    run.optimiser.step()
    layers = {
        f"{name}.weight"
        for name, module in run.net.named_modules()
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)
    }
    kinds = set()
    for name, parameter in run.net.named_parameters():
        factor = 0.95 if name in layers else 1.0
        kinds.add(factor)
        torch.testing.assert_close(parameter.detach(), before[name] * factor)
    assert kinds == {0.95, 1.0}


def test_gradient_accumulation_equals_the_whole_batch():
    whole, parts = tiny.recipe(batch=4), tiny.recipe(batch=4, gradient_accumulation_steps=2)
    runs = []
    for recipe in (whole, parts):
        run = initial_state(recipe, CPU)
        taken = training_step(run, one_batch(recipe), recipe, 0.0, SINGLE_PROCESS)
        runs.append((taken, run.net.state_dict()))
    assert runs[0][0] == pytest.approx(runs[1][0], rel=1e-5)
    assert all(torch.allclose(runs[0][1][name], value, atol=1e-6) for name, value in runs[1][1].items())


def test_memory_format_and_activation_checkpointing_do_not_change_the_loss():
    losses = []
    for changes in ({}, {"channels_last": False}, {"checkpoint_activations": True}):
        recipe = tiny.recipe(**changes)
        run = initial_state(recipe, CPU)
        assert run.net.checkpoint_activations == recipe.checkpoint_activations
        losses.append(training_step(run, one_batch(recipe), recipe, 0.0, SINGLE_PROCESS).loss)
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-6)


def test_without_a_compiler_the_error_names_the_way_out(tmp_path, project):
    command = [sys.executable, "-m", "service.cli", "train", "mnist-predrnn-v2", *tiny.WORDS, "--set", "compile=true"]
    environment = {
        **os.environ,
        "PYTHONPATH": str(project),
        "CXX": str(tmp_path / "no-compiler"),
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache"),
    }
    done = subprocess.run([*command, "--out", str(tmp_path / "run")], env=environment, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "torch.compile cannot compile the network" in done.stderr
    assert done.stderr.endswith("Install a C++ compiler, or leave it out: --set compile=false\n")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("workers", [1, 3])
def test_windows_do_not_depend_on_the_number_of_threads(workers):
    source = tiny.source()
    coming = load_batches(source, seed=7, batch=2, rows=(0, 1), iterations=range(3, 9), workers=workers, device=CPU)
    contents = [(batch.frames.data, waited) for batch, waited in coming]
    assert len(contents) == 6
    for iteration, (data, waited) in enumerate(contents, start=3):
        assert torch.equal(data, collate(draw_windows(source, 7, iteration, 2), CPU).frames.data)
        assert waited >= 0


def test_an_error_in_drawing_reaches_the_run():
    class Broken:
        def training(self, rng, batch):
            raise OSError("the disk is gone")

    coming = load_batches(Broken(), seed=7, batch=2, rows=(0, 1), iterations=range(3), workers=2, device=CPU)
    with pytest.raises(OSError, match="gone"):
        next(coming)


@pytest.mark.parametrize("kind", ["rain", "frames"])
def test_forecasts_are_plotted(kind, tmp_path):
    batch = one_batch(tiny.recipe())
    plot_forecasts(tmp_path / "a.png", batch, batch.target, kind)
    plot_forecasts(tmp_path / "b.png", batch, batch.target * 0, kind)
    images = [(tmp_path / name).read_bytes() for name in ("a.png", "b.png")]
    assert images[0][:8] == b"\x89PNG\r\n\x1a\n"
    assert images[0] != images[1]
