"""Tiny recipes and sources for the tests of training: a fraction of a second for an iteration."""

import json
from dataclasses import replace
from pathlib import Path

import torch

from model.data.moving_mnist import open_moving_mnist
from model.data.windows import WindowConfig
from model.train.recipes import RECIPES
from model.train.run_folder import ITERATIONS, LOG

WORDS = (
    *("--data", "moving-mnist", "--batch", "2", "--threads", "1"),
    *("--set", "model.net.hidden=4", "--set", "model.net.scales=1,1", "--set", "model.net.patch=8"),
    *("--set", "windows.context=3", "--set", "windows.leads=3", "--set", "bfloat16=false"),
    *("--set", "validate_every=6", "--set", "validation_windows=2"),
)
"""Arguments after the name of a recipe for Moving MNIST."""


def recipe(name="mnist-predrnn-v2", **changes):
    """Return the recipe that `echocast train NAME WORDS` trains, with changes."""
    base = RECIPES[name]()
    net = replace(base.model.net, hidden=4, scales=(1, 1), patch=8)
    small = {
        "model": replace(base.model, net=net),
        "windows": replace(base.windows, context=3, leads=3),
        "bfloat16": False,
        "batch": 2,
        "iterations": 12,
        "validate_every": 6,
        "validation_windows": 2,
    }
    return replace(base, **{**small, **changes})


def rain_recipe(**changes):
    """A rain recipe for windows of a small archive."""
    base = RECIPES["rain-ms-predrnn-tiny"]()
    windows = WindowConfig(context=3, leads=3, crop=32, margin=16, coarsen_chance=0.0, step_minutes=(5,))
    net = replace(base.model.net, hidden=4)
    return replace(base, model=replace(base.model, net=net), windows=windows, **changes)


def source():
    """Generated Moving MNIST windows, 3 frames in and 3 out."""
    return open_moving_mnist(context=3, leads=3)


def lines(out, name=ITERATIONS):
    """Return the lines of a log."""
    return [json.loads(line) for line in (Path(out) / name).read_text().splitlines()]


def losses(out):
    """The loss of every iteration, by the log."""
    return [line["loss"] for line in lines(out)]


def load(out, name):
    """Return the content of a checkpoint."""
    return torch.load(Path(out) / name, weights_only=True)


def same(one, other):
    """Whether two checkpoints hold the same, to the bit, but for the time that was taken."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one if key != "seconds")
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def validations(out):
    """The lines of the validations, but for the time."""
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines(out, LOG)]
