"""What a network is made of: parameters, multiply-adds and state, layer by layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.core.manifest import LayerProfile
from model.nets.forecast_model import FrameBatch, RecurrentFreeModel, RecurrentModel
from model.nets.stack import StackConfig

COUNTED = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


@torch.no_grad()
def profile(net: RecurrentModel | RecurrentFreeModel) -> list[LayerProfile]:
    """The layers in the order in which they run.

    Multiply-adds of convolutions and linear layers are counted while the network runs once on a small grid, per pixel
    of a frame; they grow with the pixels. Of a recurrent network they are one step's, of a whole-sequence network one
    run's. Norms, gates and warps are not counted, as in the literature.
    """
    height, width = _small_grid(net)
    macs: dict[str, float] = {}
    handles = []
    for name, module in net.named_modules():
        if isinstance(module, COUNTED):

            def count(module: nn.Module, read: tuple[Tensor], answer: Tensor, name: str = name) -> None:
                group = _group(name)
                macs[group] = macs.get(group, 0.0) + _macs(module, read[0], answer) / (height * width)

            handles.append(module.register_forward_hook(count))
    training = net.training
    net.eval()
    _run_once(net, height, width)
    net.train(training)
    for handle in handles:
        handle.remove()

    parameters: dict[str, int] = {}
    for name, parameter in net.named_parameters():
        parameters[_group(name)] = parameters.get(_group(name), 0) + parameter.numel()
    states = _state_values(net)
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
        for kind, scale in [_kind_and_scale(net, group)]
    ]


def _macs(module: nn.Module, read: Tensor, answer: Tensor) -> float:
    """Multiply-adds of one call: each weight is used once per place that the kernel stands at."""
    weight = module.weight
    if not isinstance(weight, Tensor):
        raise TypeError(f"{module} has no weight")
    if isinstance(module, nn.Linear):
        return float(weight.numel())
    places = read if isinstance(module, nn.ConvTranspose2d) else answer
    return float(weight.numel() * places.shape[0] * places.shape[2] * places.shape[3])


def _small_grid(net: RecurrentModel | RecurrentFreeModel) -> tuple[int, int]:
    """The grid that the network is bound to, or a small one that it fits."""
    config = net.config.net
    bound = config.grid if isinstance(config, StackConfig) else None
    return bound or (2 * config.stride, 2 * config.stride)


def _run_once(net: RecurrentModel | RecurrentFreeModel, height: int, width: int) -> None:
    """One step of a recurrent network, one run of a whole-sequence network, on one sample."""
    config = net.config
    frames = 1 if isinstance(net, RecurrentModel) else net.net.config.frames
    net(
        FrameBatch(
            data=torch.zeros(1, frames, config.channels, height, width),
            known=torch.ones(1, frames, 1, height, width),
            step_minutes=torch.full((1,), 5.0),
            fields=torch.zeros(1, frames, config.fields, height, width) if config.fields else None,
        ),
        1,
    )


def _group(name: str) -> str:
    """The layer that a module or a parameter belongs to: `stack.cells.0.from_x.weight` -> `cell 1`."""
    _, part, *rest = name.split(".")
    if part == "embedding":
        return rest[0]
    return f"{part.removesuffix('s')} {int(rest[0]) + 1}" if rest and rest[0].isdigit() else part.replace("_", " ")


def _state_values(net: RecurrentModel | RecurrentFreeModel) -> dict[str, float]:
    """Values of state per pixel of a frame, by layer; Z and M, which travel, under their own names."""
    values: dict[str, float] = {}
    for spec in net.states() if isinstance(net, RecurrentModel) else []:
        layer = "".join(filter(str.isdigit, spec.name))
        group = f"cell {layer}" if layer else f"memory {spec.name.upper()}"
        values[group] = values.get(group, 0.0) + spec.channels / spec.stride**2
    return values


def _kind_and_scale(net: RecurrentModel | RecurrentFreeModel, group: str) -> tuple[str, int]:
    """The class of a cell, with what is around it; pixels of a frame per pixel of the layer, along a side."""
    if isinstance(net, RecurrentFreeModel):
        layers = net.net.config.layers
        halvings = {f"encoder {layer + 1}": (layer + 1) // 2 for layer in range(layers)}
        halvings |= {f"decoder {layer + 1}": (layers - layer - 1) // 2 for layer in range(layers)} | {"output": 0}
        return "", int(2 ** halvings.get(group, layers // 2))
    first, scales = net.stack.config.first_stride, net.stack.config.scales
    part, _, which = group.partition(" ")
    if part == "cell":
        layer = int(which) - 1
        parts = net.stack.layers()[layer].parts()
        return " + ".join(type(part).__name__ for part in parts), first * scales[layer]
    of_second = group in ("highway unit", "memory Z")
    return "", first * scales[1] if of_second else first
