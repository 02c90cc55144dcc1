"""Packages of untrained networks."""

import torch

from model.core.manifest import TimeStepRange, read_manifest
from model.core.model_info import ModelInfo
from model.export.package import network_name, write_package
from model.nets.forecast_model import build_model


def packed(config, folder, field_files=(), **fields):
    """Write a package of this network, untrained but with outputs other than zero; return its catalogue entry."""
    torch.manual_seed(1)
    net = build_model(config)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if "output" in name:
                parameter.normal_(std=0.1)
    described = {
        "name": "mine",
        "version": "1",
        "summary": "For tests.",
        "architecture": network_name(config),
        "input_frames": 4,
        "time_step": TimeStepRange(min_minutes=1, max_minutes=60),
        "licence": "MIT",
    }
    written = write_package(net, described | fields, folder, field_files=field_files)
    return ModelInfo.from_manifest(read_manifest(written), written)
