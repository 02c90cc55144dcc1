"""The seven networks of mazhf/MS-RNN as functions of their state dicts, plain and multi-scale: as in the papers, and
TrajGRU and MotionRNN as published too, with the faults of that code in a batch of one."""

from functools import partial

import torch
from torch.nn import functional

from tests.model.nets.reference.common import below, conv, conv_shapes, published_warp, warp, zeros

SCALES = (1, 2, 4, 4, 2, 1)
FLOWS = 9

PARTS = {
    "convlstm": {"_conv_x2h": (1, 4), "_conv_h2h": (1, 4)},
    "trajgru": {"_conv_x2h": (1, 3), "_conv_x2f": (1, 1), "_conv_h2f": (1, 1)},
    "predrnn": {
        **{"_conv_x2h": (1, 4), "_conv_h2h": (1, 4), "_conv_c2o": (1, 1)},
        **{"_conv_x2h_m": (1, 3), "_conv_m2h_m": (1, 3), "_conv_m2o": (1, 1)},
    },
    "predrnn-pp": {
        **{"_conv_x_h_c": (3, 3), "_conv_x_c_m": (3, 3), "_conv_o": (3, 1)},
        **{"_conv_x": (1, 2), "_conv_z": (1, 2)},
    },
}
"""(inputs, outputs) of k x k convolutions, in units of the hidden channels."""
PARTS["predrnn-v2"] = PARTS["predrnn"]
PARTS["mim"] = {
    **PARTS["predrnn"],
    **{"_conv_x2h_n": (1, 3), "_conv_n2h_n": (1, 3), "_conv_diff2o": (1, 1), "_conv_n2o": (1, 1)},
    **{"_conv_x2h_s": (1, 4), "_conv_c2h_s": (1, 4), "_conv_s2o": (1, 1)},
}
PARTS["motionrnn"] = PARTS["mim"]


def shapes(network, *, hidden=8, layers=6, kernel=3, links=5, channels=1):
    found = conv_shapes("embed.conv_embed", channels, hidden, 1, bias=True)
    found |= conv_shapes("fc.conv_fc", hidden, channels, 1, bias=True)
    if network == "predrnn-v2":
        found |= conv_shapes("rnns.adapter", hidden, hidden, 1, bias=True)
    for layer in range(layers):
        prefix = f"rnns.lstm.{layer}."
        for key, (inputs, outputs) in PARTS[network].items():
            found |= conv_shapes(prefix + key, inputs * hidden, outputs * hidden, kernel, bias=True)
        if network not in ("convlstm", "trajgru"):
            found |= conv_shapes(f"{prefix}_conv_c_m", 2 * hidden, hidden, 1, bias=True)
        if network == "predrnn-pp":
            found |= conv_shapes(f"{prefix}_conv_m", hidden, hidden, 1, bias=True)
        if network == "trajgru":
            found |= conv_shapes(f"{prefix}_conv_flow", hidden, 2 * links, kernel, bias=True)
            found |= conv_shapes(f"{prefix}project", hidden * links, 3 * hidden, 1, bias=True)
        if network == "motionrnn":
            coarse = hidden // 4
            for gate in "urz":
                found |= conv_shapes(f"{prefix}_conv_{gate}", coarse + 2 * FLOWS, 2 * FLOWS, 1, bias=True)
            found |= conv_shapes(f"{prefix}_conv_enc", hidden, coarse, 2, bias=True)
            found |= conv_shapes(f"{prefix}_conv_hm", coarse, FLOWS, 1, bias=True)
            found |= conv_shapes(f"{prefix}_conv_dec", coarse * FLOWS, coarse, 1, bias=True)
            found |= conv_shapes(f"{prefix}_conv_g", 2 * hidden, hidden, 1, bias=True)
            found |= {f"{prefix}_deconv_dec.weight": (coarse, hidden, 4, 4), f"{prefix}_deconv_dec.bias": (hidden,)}
    return found


def convlstm(state, x, x_before, m, kept, first, last):
    h, c = kept
    i, f, g, o = (conv(state, "_conv_x2h", x) + conv(state, "_conv_h2h", h)).chunk(4, 1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    h = torch.sigmoid(o) * torch.tanh(c)
    return h, m, (h, c)


def trajgru(state, x, x_before, m, kept, first, last, warp=warp):
    (h,) = kept
    structure = functional.leaky_relu(conv(state, "_conv_x2f", x) + conv(state, "_conv_h2f", h), 0.2)
    flows = conv(state, "_conv_flow", structure).split(2, 1)
    of_h = conv(state, "project", torch.cat([warp(h, -flow) for flow in flows], 1))
    (zx, rx, nx), (zh, rh, nh) = conv(state, "_conv_x2h", x).chunk(3, 1), of_h.chunk(3, 1)
    z = torch.sigmoid(zx + zh)
    h = (1 - z) * functional.leaky_relu(nx + torch.sigmoid(rx + rh) * nh, 0.2) + z * h
    return h, m, (h,)


def memories(state, x, m, c, o):
    """M, H and o of the cells with a spatiotemporal memory."""
    i, f, g = (conv(state, "_conv_x2h_m", x) + conv(state, "_conv_m2h_m", m)).chunk(3, 1)
    m = torch.sigmoid(f) * m + torch.sigmoid(i) * torch.tanh(g)
    o = torch.sigmoid(o + conv(state, "_conv_c2o", c) + conv(state, "_conv_m2o", m))
    return m, o * torch.tanh(conv(state, "_conv_c_m", torch.cat([c, m], 1))), o


def predrnn(state, x, x_before, m, kept, first, last):
    h, c = kept
    i, f, g, o = (conv(state, "_conv_x2h", x) + conv(state, "_conv_h2h", h)).chunk(4, 1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    m, h, _ = memories(state, x, m, c, o)
    return h, m, (h, c)


def predrnn_pp(state, x, x_before, m, kept, first, last):
    h, c, *z = kept
    if z:
        p, s = (conv(state, "_conv_x", x) + conv(state, "_conv_z", z[0])).chunk(2, 1)
        x = torch.sigmoid(s) * torch.tanh(p) + (1 - torch.sigmoid(s)) * z[0]
        z = [x]
    i, f, g = conv(state, "_conv_x_h_c", torch.cat([x, h, c], 1)).chunk(3, 1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    i, f, g = conv(state, "_conv_x_c_m", torch.cat([x, c, m], 1)).chunk(3, 1)
    m = torch.sigmoid(f) * torch.tanh(conv(state, "_conv_m", m)) + torch.sigmoid(i) * torch.tanh(g)
    o = torch.tanh(conv(state, "_conv_o", torch.cat([x, c, m], 1)))
    h = o * torch.tanh(conv(state, "_conv_c_m", torch.cat([c, m], 1)))
    return h, m, (h, c, *z)


def mim_cell(state, x, x_before, m, kept, first):
    """H, o, M and (C, N, S)."""
    h, c, n, s = kept
    i, f, g = (conv(state, "_conv_x2h_n", x - x_before) + conv(state, "_conv_n2h_n", n)).chunk(3, 1)
    n = torch.sigmoid(f) * n + torch.sigmoid(i) * torch.tanh(g)
    d = torch.sigmoid(conv(state, "_conv_diff2o", x - x_before) + conv(state, "_conv_n2o", n)) * torch.tanh(n)
    i, f, g, o = (conv(state, "_conv_x2h_s", d) + conv(state, "_conv_c2h_s", c)).chunk(4, 1)
    s = torch.sigmoid(f) * s + torch.sigmoid(i) * torch.tanh(g)
    t = torch.sigmoid(o + conv(state, "_conv_s2o", s)) * torch.tanh(s)
    i, f, g, o = (conv(state, "_conv_x2h", x) + conv(state, "_conv_h2h", h)).chunk(4, 1)
    c = (torch.sigmoid(f) * c if first else t) + torch.sigmoid(i) * torch.tanh(g)
    m, h, o = memories(state, x, m, c, o)
    return h, o, m, (c, n, s)


def mim(state, x, x_before, m, kept, first, last):
    h, _, m, rest = mim_cell(state, x, x_before, m, kept, first)
    return h, m, (h, *rest)


def motionrnn(state, x, x_before, m, kept, first, last, published=False):
    *kept, flow, trend = kept
    h, o, m, rest = mim_cell(state, x, x_before, m, kept, first)
    moved, flow, trend = motion_gru(state, h, flow, trend, published)
    h = h if last else moved + (1 - o) * x
    return h, m, (h, *rest, flow, trend)


def out_of_order(images):
    """9 images [b, c, y, x], as one [b, 9 c, y, x]: pixel after pixel with its 9 values, cut into 9 images again."""
    in_a_row = torch.stack(images, 4).flatten(2)
    return torch.stack(in_a_row.chunk(FLOWS, 2), 2).flatten(1, 2).reshape(images[0].shape[0], -1, *images[0].shape[2:])


def motion_gru(state, h, flow, trend, published=False):
    """H warped, flow, trend; each of the 9 flows is two channels (x, y), and all starts at its pixel."""
    read = published_warp if published else warp
    coarse = functional.conv2d(h, state["_conv_enc.weight"], state["_conv_enc.bias"], 2)
    u = torch.sigmoid(conv(state, "_conv_u", torch.cat([coarse, flow], 1)))
    r = torch.sigmoid(conv(state, "_conv_r", torch.cat([coarse, flow], 1)))
    z = torch.tanh(conv(state, "_conv_z", torch.cat([coarse, r * flow], 1)))
    trend = trend + 0.5 * (flow - trend)
    flow = u * z + (1 - u) * flow + trend
    mask = torch.sigmoid(conv(state, "_conv_hm", coarse))
    moved = [mask[:, k : k + 1] * read(coarse, flow[:, 2 * k : 2 * k + 2]) for k in range(FLOWS)]
    merged = conv(state, "_conv_dec", out_of_order(moved) if published else torch.stack(moved, 2).flatten(1, 2))
    wide = functional.conv_transpose2d(merged, state["_deconv_dec.weight"], state["_deconv_dec.bias"], 2, 1)
    g = torch.sigmoid(conv(state, "_conv_g", torch.cat([wide, h], 1)))
    return g * h + (1 - g) * wide, flow, trend


CELLS = {
    **{"convlstm": convlstm, "trajgru": trajgru, "predrnn": predrnn, "predrnn-v2": predrnn},
    **{"predrnn-pp": predrnn_pp, "mim": mim, "motionrnn": motionrnn},
}


AS_PUBLISHED = {
    "trajgru": partial(trajgru, warp=published_warp),
    "motionrnn": partial(motionrnn, published=True),
}


def start(network, x, layer):
    """The states of a layer whose input is x."""
    hidden = x.shape[1]
    count = {"trajgru": 1, "mim": 4, "motionrnn": 4}.get(network, 2) + (network == "predrnn-pp" and layer == 1)
    flows = [zeros(x, 2 * FLOWS, 2)] * 2 if network == "motionrnn" else []
    return (*[zeros(x, hidden)] * count, *flows)


def smaller(x):
    return functional.max_pool2d(x, 2, 2)


def larger(x):
    return functional.interpolate(x, scale_factor=2, mode="bilinear")


def forward(state, frames, network, *, multi_scale, skips=True, layers=6, published=False):
    """frames [b, t, c, y, x] -> the answers to each."""
    cells = [below(state, f"rnns.lstm.{layer}.") for layer in range(layers)]
    scales = SCALES if multi_scale else (1,) * layers
    cell = (AS_PUBLISHED if published else CELLS)[network]
    kept, m, answers = [None] * layers, None, []
    for frame in frames.unbind(1):
        before = [None if states is None else states[0] for states in kept]
        x = conv(state, "embed.conv_embed", frame)
        m = zeros(x, x.shape[1]) if m is None else m
        out = []
        for layer, of_cell in enumerate(cells):
            x_before = before[layer - 1] if layer and before[layer - 1] is not None else None
            if layer and scales[layer] != scales[layer - 1]:
                change = smaller if scales[layer] > scales[layer - 1] else larger
                x, m = change(x), change(m)
                x_before = None if x_before is None else change(x_before)
                if change is larger and skips:
                    x = x + out[5 - layer]
            x_before = torch.zeros_like(x) if x_before is None else x_before
            states = start(network, x, layer) if kept[layer] is None else kept[layer]
            x, m, kept[layer] = cell(of_cell, x, x_before, m, states, layer == 0, layer == layers - 1)
            out.append(x)
        answers.append(conv(state, "fc.conv_fc", x))
    return torch.stack(answers, 1)
