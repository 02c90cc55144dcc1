"""Small networks, and packages and runs of them."""

import json
from dataclasses import asdict

import pytest
import torch
from safetensors.torch import save_file

from model.core.manifest import WEIGHTS, Manifest, TimeStepRange, write_manifest
from model.core.package_digest import file_sha256
from model.nets.forecast_model import ModelConfig, build_model
from model.nets.simvp import SimVPConfig
from model.nets.stack import StackConfig

CONTEXT = 3


def stack(**changes):
    return StackConfig(
        **{
            "hidden": 4,
            "scales": (1, 2, 1),
            "kernel": 3,
            "patch": 2,
            "embed": "pointwise",
            "decoupled": True,
            **changes,
        }
    )


def simvp():
    return SimVPConfig(translator="tau", frames=CONTEXT, hidden=4, translator_hidden=8, translator_layers=2, layers=2)


def network(net, seed=0, **reads):
    """A model with seeded weights, of single-channel frames that are not rain, unless `reads` says otherwise."""
    torch.manual_seed(seed)
    config = ModelConfig(net=net, **{"reads_known": False, "reads_time": False, "residual": False, **reads})
    return build_model(config).eval()


@pytest.fixture
def package(tmp_path):
    def make(name, net, **described):
        folder = tmp_path / "packages" / name / "1"
        folder.mkdir(parents=True)
        save_file({key: value.contiguous() for key, value in net.state_dict().items()}, folder / WEIGHTS)
        manifest = {
            "name": name,
            "version": "1",
            "summary": "",
            "kind": "rain" if net.config.reads_known else "frames",
            "architecture": "any",
            "config": asdict(net.config),
            "input_frames": CONTEXT,
            "time_step": TimeStepRange(min_minutes=1, max_minutes=15),
            "stride": net.config.net.stride,
            "licence": "Apache-2.0",
            "files": {WEIGHTS: file_sha256(folder / WEIGHTS)},
        }
        write_manifest(Manifest(**{**manifest, **described}), folder)
        return folder

    return make


@pytest.fixture
def training_run(tmp_path):
    """What `echocast train` leaves."""

    def make(name, net):
        folder = tmp_path / name
        folder.mkdir()
        settings = {"loss": {"over": "forecast"}, "optimiser": {"learning_rate": 1e-3}, "iterations": 7, "batch": 1}
        recipe = {"name": "tiny", "model": asdict(net.config), "windows": {"context": CONTEXT}, **settings}
        (folder / "recipe.json").write_text(json.dumps({"schema": 2, **recipe}))
        (folder / "log.jsonl").write_text(json.dumps({"iteration": 7, "mse": 0.5}) + "\n")
        (folder / "provenance.json").write_text(json.dumps({"kind": "frames"}))
        torch.save({"ema": net.state_dict(), "iteration": 7}, folder / "best.pt")
        return folder

    return make
