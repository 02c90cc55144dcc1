"""Profile of a model: parameters, multiply-adds and state, layer by layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.core.manifest import LayerProfile
from model.nets.forecast_model import FrameBatch, RecurrentFreeModel, RecurrentModel
from model.nets.stack import StackConfig

COUNTED = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


@torch.no_grad()
def profile(model: RecurrentModel | RecurrentFreeModel) -> list[LayerProfile]:
    """Return the layers in the order in which they run.

    Multiply-adds are those of one time step of a recurrent model, or of one run of a recurrent-free one, per pixel of a
    frame. They are counted while the model runs once on a small grid: convolutions and linear layers only, without
    norms, gates and warps, as in the literature.
    """
    height, width = _small_grid(model)
    macs: dict[str, float] = {}
    handles = []
    for name, module in model.named_modules():
        if isinstance(module, COUNTED):

            def count(module: nn.Module, inputs: tuple[Tensor], output: Tensor, name: str = name) -> None:
                group = _group(name)
                macs[group] = macs.get(group, 0.0) + _macs(module, inputs[0], output) / (height * width)

            handles.append(module.register_forward_hook(count))
    training = model.training
    model.eval()
    _run_once(model, height, width)
    model.train(training)
    for handle in handles:
        handle.remove()

    parameters: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        parameters[_group(name)] = parameters.get(_group(name), 0) + parameter.numel()
    states = _state_values(model)
    return [
        LayerProfile(
            name=group,
            kind=kind,
            scale=scale,
            parameters=parameters.get(group, 0),
            macs_per_pixel=macs.get(group, 0.0),
            state_values_per_pixel=states.get(group, 0.0),
        )
        for group in dict.fromkeys([*macs, *parameters, *states])
        for kind, scale in [_kind_and_scale(model, group)]
    ]


def _macs(module: nn.Module, inputs: Tensor, output: Tensor) -> float:
    """Return the multiply-adds of one call: each weight is used once per position of the kernel."""
    weight = module.weight
    if not isinstance(weight, Tensor):
        raise TypeError(f"{module} has no weight")
    if isinstance(module, nn.Linear):
        return float(weight.numel())
    positions = inputs if isinstance(module, nn.ConvTranspose2d) else output
    return float(weight.numel() * positions.shape[0] * positions.shape[2] * positions.shape[3])


def _small_grid(model: RecurrentModel | RecurrentFreeModel) -> tuple[int, int]:
    """Return the grid that the model is bound to, or a small one."""
    config = model.config.net
    grid = config.grid if isinstance(config, StackConfig) else None
    return grid or (2 * config.stride, 2 * config.stride)


def _run_once(model: RecurrentModel | RecurrentFreeModel, height: int, width: int) -> None:
    """Run one time step of a recurrent model, or a recurrent-free model once, on one sample."""
    config = model.config
    frames = 1 if isinstance(model, RecurrentModel) else model.net.config.frames
    data, known = torch.zeros(1, frames, config.channels, height, width), torch.ones(1, frames, 1, height, width)
    fields = torch.zeros(1, frames, config.fields, height, width) if config.fields else None
    model(FrameBatch(data, known, torch.full((1,), 5.0), fields), 1)


def _group(name: str) -> str:
    """Return the layer of a module or a parameter: `stack.cells.0.from_x.weight` -> `cell 1`."""
    _, part, *rest = name.split(".")
    if part == "embedding":
        return rest[0]
    return f"{part.removesuffix('s')} {int(rest[0]) + 1}" if rest and rest[0].isdigit() else part.replace("_", " ")


def _state_values(model: RecurrentModel | RecurrentFreeModel) -> dict[str, float]:
    """Return the state values per pixel of a frame, by layer; Z and M, which belong to no layer, by their names."""
    values: dict[str, float] = {}
    for spec in model.states() if isinstance(model, RecurrentModel) else []:
        layer = "".join(filter(str.isdigit, spec.name))
        group = f"cell {layer}" if layer else f"memory {spec.name.upper()}"
        values[group] = values.get(group, 0.0) + spec.channels / spec.stride**2
    return values


def _kind_and_scale(model: RecurrentModel | RecurrentFreeModel, group: str) -> tuple[str, int]:
    """Return the kind of a cell, else "", and the pixels of a frame per pixel of the layer, along a side."""
    if isinstance(model, RecurrentFreeModel):
        layers = model.net.config.layers
        halvings = {f"encoder {layer + 1}": (layer + 1) // 2 for layer in range(layers)}
        halvings |= {f"decoder {layer + 1}": (layers - layer - 1) // 2 for layer in range(layers)} | {"output": 0}
        return "", int(2 ** halvings.get(group, layers // 2))
    first, scales = model.stack.config.first_stride, model.stack.config.scales
    part, _, which = group.partition(" ")
    if part == "cell":
        layer = int(which) - 1
        return model.stack.layers()[layer].kind, first * scales[layer]
    # The Gradient Highway Unit has the grid of the second layer.
    return "", first * scales[1] if group in ("highway unit", "memory Z") else first
