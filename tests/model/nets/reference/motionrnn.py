"""MotionRNN around PredRNN of thuml/MotionRNN as functions of its state dict, from zero states."""

import torch
from torch.nn import functional

from tests.model.nets.reference import predrnn_pytorch
from tests.model.nets.reference.common import below, conv, conv_shapes, from_patches, to_patches, warp, zeros

FLOWS = 9


def shapes(*, planes=16, hidden=8, layers=3, kernel=5):
    found = predrnn_pytorch.shapes(planes=planes, hidden=hidden, layers=layers, kernel=kernel)
    found |= conv_shapes("conv_first_v", planes, hidden, 1)
    coarse = hidden // 4
    for layer in range(layers - 1):
        motion = f"motion_list.{layer}"
        for gate in ("update", "reset", "output"):
            found |= conv_shapes(f"{motion}.{gate}", coarse + 2 * FLOWS, 2 * FLOWS, 3, bias=True)
        found |= conv_shapes(f"{motion}.warp.warp_gate", coarse, FLOWS, 3, bias=True)
        found |= conv_shapes(f"{motion}.warp.conv", coarse, coarse, 3)
        found |= conv_shapes(f"enc_list.{layer}", hidden, coarse, kernel, bias=True)
        found |= conv_shapes(f"gate_list.{layer}", 2 * hidden, hidden, kernel, bias=True)
        found |= {f"dec_list.{layer}.weight": (coarse, hidden, 4, 4), f"dec_list.{layer}.bias": (hidden,)}
    return found


def motion(state, layer, h, flow, mean):
    """H warped, the new flows (9 rows, 9 columns) and their mean."""
    of_motion = below(state, f"motion_list.{layer}.")
    coarse = conv(state, f"enc_list.{layer}", h, 2)
    update = torch.sigmoid(conv(of_motion, "update", torch.cat([coarse, flow], 1)))
    reset = torch.sigmoid(conv(of_motion, "reset", torch.cat([coarse, flow], 1)))
    new = torch.tanh(conv(of_motion, "output", torch.cat([coarse, flow * reset], 1)))
    mean = mean + 0.5 * (flow - mean)
    flow = flow * (1 - update) + new * update + mean
    mask = torch.sigmoid(conv(of_motion, "warp.warp_gate", coarse))
    weight = of_motion["warp.conv.weight"]
    merged = 0
    for index in range(FLOWS):
        row, column = divmod(index, 3)
        vector = torch.stack([flow[:, FLOWS + index] + column - 1, flow[:, index] + row - 1], 1)
        moved = mask[:, index : index + 1] * warp(coarse, vector)
        merged = merged + functional.conv2d(moved, weight[:, :, row : row + 1, column : column + 1])
    wide = functional.conv_transpose2d(merged, state[f"dec_list.{layer}.weight"], state[f"dec_list.{layer}.bias"], 2, 1)
    o = torch.sigmoid(conv(state, f"gate_list.{layer}", torch.cat([wide, h], 1)))
    return o * wide + (1 - o) * h, flow, mean


def forward(state, frames, *, patch, layers=3, highway=True):
    """frames [b, t, c, y, x] -> the answers to each."""
    cells = [below(state, f"cell_list.{layer}.") for layer in range(layers)]
    hidden = cells[0]["conv_last.weight"].shape[0]
    first = to_patches(frames[:, 0], patch)
    h, c = [zeros(first, hidden)] * layers, [zeros(first, hidden)] * layers
    flows, means = [zeros(first, 2 * FLOWS, 2)] * layers, [zeros(first, 2 * FLOWS, 2)] * layers
    m, answers = zeros(first, hidden), []
    for frame in frames.unbind(1):
        x = to_patches(frame, patch)
        way = conv(state, "conv_first_v", x)
        for layer, of_cell in enumerate(cells):
            way = way if highway else 0 * way
            way, c[layer], m = predrnn_pytorch.cell(of_cell, x, h[layer], c[layer], m, highway=way)
            x = way
            if layer < layers - 1:
                x, flows[layer], means[layer] = motion(state, layer, way, flows[layer], means[layer])
            h[layer] = x
        answers.append(from_patches(conv(state, "conv_last", x), patch))
    return torch.stack(answers, 1)
