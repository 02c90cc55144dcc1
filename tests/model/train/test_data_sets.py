"""`echocast train RECIPE --data NAME` for each data set, on files in the layout of its site."""

import json
import sys

import cv2
import numpy as np
import pytest
import torch

from model.data.datasets import open_dataset
from model.export.run import load_run
from model.train.batch import collate
from model.train.recipes import RECIPES
from model.train.validation import validate
from service import cli


def moving_mnist_files(folder):
    rng = np.random.default_rng(0)
    np.save(folder / "mnist_test_seq.npy", rng.integers(0, 256, (20, 2, 64, 64), np.uint8))


def kth_files(folder):
    rng = np.random.default_rng(0)
    for person, frames in ((1, 20), (17, 30)):
        video = folder / f"walking/person{person:02d}_walking_d1_uncomp"
        video.mkdir(parents=True)
        for number in range(1, frames + 1):
            cv2.imwrite(str(video / f"image_{number:04d}.jpg"), rng.integers(0, 256, (120, 160, 3), np.uint8))


def taxibj_files(folder):
    rng = np.random.default_rng(0)
    arrays = {
        f"{half}_{part}": rng.uniform(-1, 1, (2, 4, 2, 32, 32)).astype(np.float32)
        for half in "XY"
        for part in ("train", "test")
    }
    np.savez(folder / "dataset.npz", **arrays)


@pytest.mark.parametrize(
    ("recipe", "name", "files", "held_out_leads"),
    [
        ("mnist-predrnn", "moving-mnist", moving_mnist_files, 10),
        ("mnist-predrnn", "kth", kth_files, 20),
        ("taxibj-predrnn", "taxibj", taxibj_files, 4),
    ],
)
def test_a_data_set_is_trained_on_and_scored_as_its_papers_do(
    recipe, name, files, held_out_leads, tmp_path, monkeypatch, capsys
):
    data, run = tmp_path / "data", tmp_path / "run"
    data.mkdir()
    files(data)
    words = ("train", recipe, "--data", f"{name}:{data}", "--out", run, "--iterations", 1, "--batch", 1)
    monkeypatch.setattr(sys, "argv", ["echocast", *map(str, words)])
    cli.main()
    assert "best.pt" in capsys.readouterr().out

    held_out = open_dataset(f"{name}:{data}", cache_folder=run / "cache").held_out(0, 1, 2)
    assert {len(window.target) for [window] in held_out} == {held_out_leads}
    batches = [collate(windows, torch.device("cpu")) for windows in held_out]
    again = validate(load_run(run).net, batches, RECIPES[recipe](), "frames").scores
    [line] = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert line["mse"] == pytest.approx(again["mse"], rel=1e-3)
