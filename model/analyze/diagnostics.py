"""Diagnostics of a network: gradients by input frame, cosines of the increments of C and M, response maps.

As in PredRNN-V2 (Wang et al. 2022, arXiv 2103.09504): the gradient of the last forecast frame by input frame shows how
far back a network remembers, and the cosine of the increments of C and M whether the two memories hold different
features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from model.nets.forecast_model import ForecastModel, FrameBatch, RecurrentFreeModel, RecurrentModel, time_conditions
from model.train.batch import map_frames

Increments = Sequence[Sequence[tuple[Tensor, Tensor]]]
"""Increments of C and M by step and layer, each [b, hidden, y, x]."""


def gradient_by_frame(net: ForecastModel, frames: FrameBatch, leads: int) -> NDArray[np.float64]:
    """Return the mean absolute gradient [t] of the last of `leads` forecast frames by input frame, oldest first.

    It is the mean over sequences, channels and pixels of |d sum(last frame) / d pixel|. Where the forecast is clipped
    to 0 or 1, the gradient is 0.
    """
    data = frames.data.detach().clone().requires_grad_()
    with torch.enable_grad():
        last = net(frames._replace(data=data), leads)[:, -1]
        (gradient,) = torch.autograd.grad(last.sum(), data, allow_unused=True, materialize_grads=True)
    return gradient.abs().mean(dim=(0, 2, 3, 4)).double().numpy()


def cosines(increments: Increments, projection: nn.Module | None = None) -> list[NDArray[np.float32]]:
    """Return |cosine| of the increments of C and M by layer, [step, sequence, channel] in [0, 1].

    The cosine is over the pixels of a channel, as in `model.losses.decoupling_loss`: 0 for orthogonal increments, 1 for
    parallel ones. A channel without any increment counts as 0.

    Parameters
    ----------
    increments
        Increments by step and layer.
    projection
        W of the network, which is applied to both increments; none by default.
    """
    project = projection or nn.Identity()
    layers = []
    for layer in range(len(increments[0])):
        pairs = [step[layer] for step in increments]
        with torch.no_grad():
            steps = [
                functional.cosine_similarity(project(of_c).flatten(2), project(of_m).flatten(2), dim=-1).abs()
                for of_c, of_m in pairs
            ]
        layers.append(np.clip(torch.stack(steps).numpy(), 0, 1))
    return layers


def rollout_increments(net: ForecastModel, frames: FrameBatch, leads: int) -> Increments:
    """Return the increments of a forecast; none where the network lacks one of the memories."""
    with torch.no_grad():
        increments = net.rollout(frames, frames.data.shape[1], leads).increments
    return increments if increments and increments[0] else []


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerResponses:
    """Responses of the layers to one sequence while one frame is predicted.

    Attributes
    ----------
    newest : [channel, y, x]
        Newest observed frame.
    read : [channel, y, x]
        Frame that the network reads.
    read_at
        Time step of `read`, 0 for the newest observed frame.
    forecast : [channel, y, x]
        Predicted frame.
    layers
        Name and mean |H| over channels [y, x] of each layer, on the grid of the layer.
    """

    newest: NDArray[np.float32]
    read: NDArray[np.float32]
    read_at: int
    forecast: NDArray[np.float32]
    layers: tuple[tuple[str, NDArray[np.float32]], ...]


@torch.no_grad()
def layer_responses(net: ForecastModel, frames: FrameBatch, lead: int) -> LayerResponses:
    """Return the responses to the first sequence at lead step `lead`, counted from 1.

    A recurrent-free model predicts several frames at once: the maps are those at the position of the predicted frame in
    the sequence, and `read` is the input frame at that position.
    """
    first = map_frames(frames, itemgetter(slice(1)))
    if isinstance(net, RecurrentModel):
        return _recurrent_responses(net, first, lead)
    if isinstance(net, RecurrentFreeModel):
        return _recurrent_free_responses(net, first, lead)
    raise TypeError(f"no response maps of {type(net).__name__}")


def _recurrent_responses(net: RecurrentModel, frames: FrameBatch, lead: int) -> LayerResponses:
    """Return H of every layer."""
    context, (height, width) = frames.data.shape[1], frames.data.shape[-2:]
    state = net.stack.initial_state(1, height, width, frames.data)
    predicted = frame = frames.data[:, 0]
    for index in range(context - 1 + lead):
        frame = frames.data[:, index] if index < context else predicted
        conditions = time_conditions(index - (context - 1), frames.step_minutes)
        fields = None if frames.fields is None else frames.fields[:, index]
        known = frames.known[:, min(index, context - 1)]
        predicted, state, *_ = net.step(frame, known, conditions, fields, state)
    states = {spec.name: tensor for spec, tensor in zip(net.states(), state, strict=True)}
    layers = [(f"layer {layer}", states[f"h{layer}"]) for layer in range(1, len(net.stack.layers()) + 1)]
    return _to_arrays(frames.data[:, -1], frame, lead - 1, predicted, layers)


def _recurrent_free_responses(net: RecurrentFreeModel, frames: FrameBatch, lead: int) -> LayerResponses:
    """Return the outputs of encoder, translator and decoder layers at the position of the predicted frame."""
    context = frames.data.shape[1]
    run, position = divmod(lead - 1, context)
    modules = {
        **{f"encoder {index}": layer for index, layer in enumerate(net.net.encoder, 1)},
        "translator": net.net.translator,
        **{f"decoder {index}": layer for index, layer in enumerate(net.net.decoder, 1)},
    }
    outputs: dict[str, Tensor] = {}
    handles = []
    for name, module in modules.items():

        def record(module: nn.Module, inputs: tuple[Tensor], output: Tensor, name: str = name) -> None:
            # The translator has the frames as channels, the other layers in the batch.
            outputs[name] = torch.unflatten(output[0], 0, (context, -1)) if name == "translator" else output

        handles.append(module.register_forward_hook(record))
    try:
        forecast = net(frames, lead)
    finally:
        for handle in handles:
            handle.remove()
    read = forecast[:, (run - 1) * context + position] if run else frames.data[:, position]
    layers = [(name, output[position : position + 1]) for name, output in outputs.items()]
    return _to_arrays(frames.data[:, -1], read, lead - context, forecast[:, -1], layers)


def _to_arrays(
    newest: Tensor, read: Tensor, read_at: int, forecast: Tensor, layers: Sequence[tuple[str, Tensor]]
) -> LayerResponses:
    return LayerResponses(
        newest=newest[0].numpy(),
        read=read[0].numpy(),
        read_at=read_at,
        forecast=forecast[0].numpy(),
        layers=tuple((name, output[0].abs().mean(dim=0).numpy()) for name, output in layers),
    )
