"""PredRNN of thuml/predrnn-pytorch as functions of its state dict: gates i f g, i' f' g', o, and a forget bias of 1."""

import torch
from torch.nn import functional

from tests.model.nets.reference.common import below, conv, conv_shapes, from_patches, to_patches, zeros

GATES = {"conv_x": 7, "conv_h": 4, "conv_m": 3}


def cell_shapes(inputs, hidden, kernel, *, bias=False, actions=False, norm=()):
    parts = {"conv_x": (inputs, 7), "conv_h": (hidden, 4), "conv_m": (hidden, 3), "conv_o": (2 * hidden, 1)}
    if actions:
        parts["conv_a"] = (hidden, 4)
    shapes = conv_shapes("conv_last", 2 * hidden, hidden, 1, bias=bias)
    for key, (channels, count) in parts.items():
        shapes |= conv_shapes(key, channels, count * hidden, kernel, bias=bias, norm=norm)
    return shapes


def shapes(*, planes=16, hidden=4, layers=3, kernel=5, adapter=False, norm=()):
    found = conv_shapes("conv_last", hidden, planes, 1)
    if adapter:
        found |= conv_shapes("adapter", hidden, hidden, 1)
    for layer in range(layers):
        of_cell = cell_shapes(hidden if layer else planes, hidden, kernel, norm=norm)
        found |= {f"cell_list.{layer}.{key}": shape for key, shape in of_cell.items()}
    return found


def action_shapes(*, channels=3, actions=4, hidden=4, layers=3, kernel=5, adapter=False):
    half = hidden // 2
    found = {
        "conv_input1.weight": (half, channels, kernel, kernel),
        "conv_input2.weight": (hidden, half, kernel, kernel),
        "action_conv_input1.weight": (half, actions, kernel, kernel),
        "action_conv_input2.weight": (hidden, half, kernel, kernel),
        "deconv_output1.weight": (hidden, half, kernel, kernel),
        "deconv_output2.weight": (half, channels, kernel, kernel),
    }
    if adapter:
        found |= conv_shapes("adapter", hidden, hidden, 1)
    for layer in range(layers):
        of_cell = cell_shapes(hidden, hidden, kernel, bias=True, actions=True)
        found |= {f"cell_list.{layer}.{key}": shape for key, shape in of_cell.items()}
    return found


def cell(state, x, h, c, m, action=None, highway=None):
    """One step: H, C, M."""
    hidden = h.shape[1]
    ix, fx, gx, ixm, fxm, gxm, ox = conv(state, "conv_x", x).split(hidden, 1)
    of_h = conv(state, "conv_h", h)
    ih, fh, gh, oh = (of_h if action is None else of_h * conv(state, "conv_a", action)).split(hidden, 1)
    im, fm, gm = conv(state, "conv_m", m).split(hidden, 1)
    c = torch.sigmoid(fx + fh + 1) * c + torch.sigmoid(ix + ih) * torch.tanh(gx + gh)
    m = torch.sigmoid(fxm + fm + 1) * m + torch.sigmoid(ixm + im) * torch.tanh(gxm + gm)
    both = torch.cat([c, m], 1)
    o = torch.sigmoid(ox + oh + conv(state, "conv_o", both))
    h = o * torch.tanh(conv(state, "conv_last", both))
    return (h if highway is None else h + (1 - o) * highway), c, m


def forward(state, frames, *, patch, layers=3):
    """frames [b, t, c, y, x] -> the answers [b, t, c, y, x] to each."""
    cells = [below(state, f"cell_list.{layer}.") for layer in range(layers)]
    hidden = cells[0]["conv_last.weight"].shape[0]
    h, c, m, answers = [None] * layers, [None] * layers, None, []
    for frame in frames.unbind(1):
        x = to_patches(frame, patch)
        m = zeros(x, hidden) if m is None else m
        for layer, of_cell in enumerate(cells):
            h_before = zeros(x, hidden) if h[layer] is None else h[layer]
            c_before = zeros(x, hidden) if c[layer] is None else c[layer]
            h[layer], c[layer], m = cell(of_cell, x, h_before, c_before, m)
            x = h[layer]
        answers.append(from_patches(conv(state, "conv_last", x), patch))
    return torch.stack(answers, 1)


def action_forward(state, frames, actions, *, layers=3, skips=True):
    """The same for conv_on_input and res_on_conv: actions [b, t, n, y, x]."""
    cells = [below(state, f"cell_list.{layer}.") for layer in range(layers)]
    hidden = cells[0]["conv_last.weight"].shape[0]
    h, c, m, answers = [None] * layers, [None] * layers, None, []

    def wider(key, x):
        weight = state[f"{key}.weight"]
        return functional.conv_transpose2d(x, weight, None, 2, weight.shape[-1] // 2, output_padding=1)

    for frame, action in zip(frames.unbind(1), actions.unbind(1), strict=True):
        half = conv(state, "conv_input1", frame, 2)
        x = quarter = conv(state, "conv_input2", half, 2)
        act = conv(state, "action_conv_input2", conv(state, "action_conv_input1", action, 2), 2)
        m = zeros(x, hidden) if m is None else m
        for layer, of_cell in enumerate(cells):
            h_before = zeros(x, hidden) if h[layer] is None else h[layer]
            c_before = zeros(x, hidden) if c[layer] is None else c[layer]
            h[layer], c[layer], m = cell(of_cell, x, h_before, c_before, m, act)
            x = h[layer]
        first = wider("deconv_output1", x + quarter if skips else x)
        answers.append(wider("deconv_output2", first + half if skips else first))
    return torch.stack(answers, 1)
