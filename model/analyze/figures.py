"""The figures behind the pictures: gradients, cosines of what is written to C and M, response maps.

After PredRNN-V2 (Wang et al. 2022, arXiv 2103.09504): its gradient of the last forecast frame by input frame, which
tells how far back a network remembers, and its cosine of the increments of C and M, which tells whether the two
memories hold different things.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from model.nets.forecast_model import ForecastModel, FrameBatch, RecurrentFreeModel, RecurrentModel, time_conditions

Increments = Sequence[Sequence[tuple[Tensor, Tensor]]]
"""Per step and layer what was written to C and to M, each [b, channels, y, x]."""


def gradient_by_frame(net: ForecastModel, frames: FrameBatch, leads: int) -> NDArray[np.float64]:
    """How much the last of `leads` forecast frames changes with each input frame, oldest first: [t].

    The mean over sequences, channels and pixels of |d sum(last frame) / d pixel|. Where the forecast is cut off at 0 or
    1 it does not change, and the gradient is that of the frame that a user sees.
    """
    data = frames.data.detach().clone().requires_grad_()
    with torch.enable_grad():
        last = net(frames._replace(data=data), leads)[:, -1]
        (gradient,) = torch.autograd.grad(last.sum(), data, allow_unused=True, materialize_grads=True)
    return gradient.abs().mean(dim=(0, 2, 3, 4)).double().numpy()


def cosines(increments: Increments, projection: nn.Module | None = None) -> list[NDArray[np.float32]]:
    """|cosine| of what was written to C and to M, per layer: [step, sequence, channel], in [0, 1].

    The angle is over the pixels of a channel, as in the decoupling loss: 0 where the two memories are told different
    things, 1 where they are told the same. `projection`: the network's W, applied to both first. A channel to which
    nothing was written counts as 0.
    """
    through = projection or nn.Identity()
    layers = []
    for layer in range(len(increments[0])):
        pairs = [step[layer] for step in increments]
        with torch.no_grad():
            steps = [
                functional.cosine_similarity(through(to_c).flatten(2), through(to_m).flatten(2), dim=-1).abs()
                for to_c, to_m in pairs
            ]
        layers.append(np.clip(torch.stack(steps).numpy(), 0, 1))
    return layers


def increments_of(net: ForecastModel, frames: FrameBatch, leads: int) -> Increments:
    """What each step of a forecast wrote to C and M; nothing where the network has no such memories."""
    with torch.no_grad():
        written = net.rollout(frames, frames.data.shape[1], leads).increments
    return written if written and written[0] else []


@dataclass(frozen=True, kw_only=True, eq=False)
class Responses:
    """What each layer answered when one frame was forecast, of one sequence.

    `newest`, `read` and `forecast`: the newest observed frame, the one that was read and the one that was answered,
    [channel, y, x]. `read_at`: the time of the one read in steps, 0 the newest observed frame. `layers`: name and mean
    |H| over channels [y, x], each at its layer's own scale.
    """

    newest: NDArray[np.float32]
    read: NDArray[np.float32]
    read_at: int
    forecast: NDArray[np.float32]
    layers: tuple[tuple[str, NDArray[np.float32]], ...]


@torch.no_grad()
def responses(net: ForecastModel, frames: FrameBatch, lead: int) -> Responses:
    """The layers' answers while the forecast frame of `lead` (1 is the first) was made, of the first sequence.

    A whole-sequence network answers many frames at once: its maps are those of the place in the sequence where this
    lead's frame comes out, and the frame read is the one that goes in there.
    """
    first = FrameBatch(
        data=frames.data[:1],
        known=frames.known[:1],
        step_minutes=frames.step_minutes[:1],
        fields=None if frames.fields is None else frames.fields[:1],
    )
    if isinstance(net, RecurrentModel):
        return _of_recurrent(net, first, lead)
    if isinstance(net, RecurrentFreeModel):
        return _of_whole(net, first, lead)
    raise TypeError(f"no response maps of {type(net).__name__}")


def _of_recurrent(net: RecurrentModel, frames: FrameBatch, lead: int) -> Responses:
    """H of every layer, which is the first of its states."""
    context, (height, width) = frames.data.shape[1], frames.data.shape[-2:]
    state = net.stack.initial_state(1, height, width, frames.data)
    answer = frame = frames.data[:, 0]
    for index in range(context - 1 + lead):
        seen = min(index, context - 1)
        frame = frames.data[:, index] if index < context else answer
        conditions = time_conditions(index - (context - 1), frames.step_minutes)
        fields = None if frames.fields is None else frames.fields[:, index]
        answer, state, _ = net.step(frame, frames.known[:, seen], conditions, fields, state)
    outputs = {spec.name: tensor for spec, tensor in zip(net.states(), state, strict=True)}
    layers = [(f"layer {layer}", outputs[f"h{layer}"]) for layer in range(1, len(net.stack.layers()) + 1)]
    return _found(frames.data[:, -1], frame, lead - 1, answer, layers)


def _of_whole(net: RecurrentFreeModel, frames: FrameBatch, lead: int) -> Responses:
    """What leaves each layer of encoder and decoder at this lead's place, and the translator."""
    context = frames.data.shape[1]
    run, place = divmod(lead - 1, context)
    watched = {
        **{f"encoder {index}": layer for index, layer in enumerate(net.net.encoder, 1)},
        "translator": net.net.translator,
        **{f"decoder {index}": layer for index, layer in enumerate(net.net.decoder, 1)},
    }
    seen: dict[str, Tensor] = {}
    handles = []
    for name, module in watched.items():

        def keep(module: nn.Module, read: tuple[Tensor], answer: Tensor, name: str = name) -> None:
            # The translator holds the frames in its channels, the others in the batch.
            seen[name] = torch.unflatten(answer[0], 0, (context, -1)) if name == "translator" else answer

        handles.append(module.register_forward_hook(keep))
    try:
        forecast = net(frames, lead)
    finally:
        for handle in handles:
            handle.remove()
    read = forecast[:, (run - 1) * context + place] if run else frames.data[:, place]
    layers = [(name, answer[place : place + 1]) for name, answer in seen.items()]
    return _found(frames.data[:, -1], read, lead - context, forecast[:, -1], layers)


def _found(
    newest: Tensor, read: Tensor, read_at: int, forecast: Tensor, layers: Sequence[tuple[str, Tensor]]
) -> Responses:
    return Responses(
        newest=newest[0].numpy(),
        read=read[0].numpy(),
        read_at=read_at,
        forecast=forecast[0].numpy(),
        layers=tuple((name, answer[0].abs().mean(dim=0).numpy()) for name, answer in layers),
    )
