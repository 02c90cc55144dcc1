"""The networks of chengtan9907/OpenSTL as functions of their state dicts. PredRNN and V2: see predrnn_pytorch."""

import torch
from torch.nn import functional

from tests.model.nets.reference import predrnn_pytorch
from tests.model.nets.reference.common import below, conv, conv_shapes, from_patches, to_patches, zeros


def of_layers(prefix, layers, of_cell, planes=16, hidden=4):
    found = conv_shapes("conv_last", hidden, planes, 1)
    for layer in layers:
        shapes = of_cell(hidden if layer else planes, hidden)
        found |= {f"{prefix}.{layer}.{key}": shape for key, shape in shapes.items()}
    return found


def gate_shapes(inputs, hidden, parts, kernel=5, norm=()):
    """`parts`: key -> (inputs, or None for those of the layer; how many gates)."""
    found = conv_shapes("conv_last", 2 * hidden, hidden, 1)
    for key, (channels, count) in parts.items():
        found |= conv_shapes(key, inputs if channels is None else channels * hidden, count * hidden, kernel, norm=norm)
    return found


def convlstm_shapes():
    parts = {"conv_x": (None, 4), "conv_h": (1, 4), "conv_o": (2, 1)}
    return of_layers("cell_list", range(3), lambda inputs, hidden: gate_shapes(inputs, hidden, parts))


def predrnn_pp_shapes():
    parts = {
        **{"conv_x": (None, 7), "conv_h": (1, 4), "conv_c": (1, 3), "conv_m": (1, 3), "conv_o": (2, 1)},
        **{"conv_c2m": (1, 4), "conv_om": (1, 1)},
    }
    found = of_layers("cell_list", range(3), lambda inputs, hidden: gate_shapes(inputs, hidden, parts))
    for key in ("z_concat", "x_concat"):
        found |= conv_shapes(f"gradient_highway.{key}", 4, 8, 5, norm=())
    return found


def mim_shapes(grid, *, norm=(), hidden=4):
    peepholes = {"ct_weight": (2 * hidden, *grid), "oc_weight": (hidden, *grid)}
    block = {
        **{"conv_t_cc": (1, 3), "conv_s_cc": (1, 4), "conv_x_cc": (1, 4)},
        **{"conv_h_concat": (1, 4), "conv_x_concat": (1, 4)},
    }
    unit = {"conv_h_concat": (1, 4), "conv_x_concat": (1, 4)}

    def of_cell(inputs, hidden):
        if inputs != hidden:
            return predrnn_pytorch.cell_shapes(inputs, hidden, 5, norm=norm)
        return gate_shapes(inputs, hidden, block, norm=norm) | peepholes

    found = of_layers("stlstm_layer", range(3), of_cell)
    for index in range(2):
        shapes = gate_shapes(hidden, hidden, unit, norm=norm) | peepholes
        found |= {f"stlstm_layer_diff.{index}.{key}": shape for key, shape in shapes.items()}
    return found


def convlstm_cell(state, x, h, c, m):
    i, f, g, o = (conv(state, "conv_x", x) + conv(state, "conv_h", h)).chunk(4, 1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c, m


def causal_cell(state, x, h, c, m):
    ix, fx, gx, ixm, fxm, gxm, ox = conv(state, "conv_x", x).chunk(7, 1)
    ih, fh, gh, oh = conv(state, "conv_h", h).chunk(4, 1)
    ic, fc, gc = conv(state, "conv_c", c).chunk(3, 1)
    im, fm, mm = conv(state, "conv_m", m).chunk(3, 1)
    c = torch.sigmoid(fx + fh + fc + 1) * c + torch.sigmoid(ix + ih + ic) * torch.tanh(gx + gh + gc)
    ic, gc, fc, oc = conv(state, "conv_c2m", c).chunk(4, 1)
    written = torch.sigmoid(ixm + im + ic) * torch.tanh(gxm + gc)
    m = torch.sigmoid(fxm + fm + fc + 1) * torch.tanh(mm) + written
    o = torch.tanh(ox + oh + oc + conv(state, "conv_om", m))
    return o * torch.tanh(conv(state, "conv_last", torch.cat([c, m], 1))), c, m


def recurrent(state, frames, cell, *, patch, layers=3):
    """ConvLSTM and PredRNN++ (with a gradient highway, where there is one)."""
    cells = [below(state, f"cell_list.{layer}.") for layer in range(layers)]
    first = to_patches(frames[:, 0], patch)
    h, c = [zeros(first, 4)] * layers, [zeros(first, 4)] * layers
    m, z, answers = zeros(first, 4), zeros(first, 4), []
    for frame in frames.unbind(1):
        x = to_patches(frame, patch)
        for layer, of_cell in enumerate(cells):
            if layer == 1 and "gradient_highway.x_concat.0.weight" in state:
                of_z = conv(state, "gradient_highway.z_concat", z)
                p, u = (conv(state, "gradient_highway.x_concat", x) + of_z).chunk(2, 1)
                x = z = torch.sigmoid(u) * torch.tanh(p) + (1 - torch.sigmoid(u)) * z
            x, c[layer], m = cell(of_cell, x, h[layer], c[layer], m)
            h[layer] = x
        answers.append(from_patches(conv(state, "conv_last", x), patch))
    return torch.stack(answers, 1)


def memory_unit(state, x, r, s):
    """MIM-N and MIM-S: gates i g f o, and weights per pixel of the memory."""
    i, g, f, o = (conv(state, "conv_x_concat", x) + conv(state, "conv_h_concat", r)).chunk(4, 1)
    of_i, of_f = state["ct_weight"].chunk(2)
    s = torch.sigmoid(f + of_f * s + 1) * s + torch.sigmoid(i + of_i * s) * torch.tanh(g)
    return torch.sigmoid(o + state["oc_weight"] * s) * torch.tanh(s), s


def mim(state, frames, *, patch, layers=3):
    first = to_patches(frames[:, 0], patch)
    nothing = zeros(first, 4)
    h, c, n, s, d = ([nothing] * layers for _ in range(5))
    m, answers = nothing, []
    for index, frame in enumerate(frames.unbind(1)):
        before = h[0]
        of_cell = below(state, "stlstm_layer.0.")
        h[0], c[0], m = predrnn_pytorch.cell(of_cell, to_patches(frame, patch), h[0], c[0], m)
        for layer in range(1, layers):
            if index:
                read = h[0] - before if layer == 1 else d[layer - 1]
                unit = below(state, f"stlstm_layer_diff.{layer - 1}.")
                d[layer], n[layer] = memory_unit(unit, read, d[layer], n[layer])
            block = below(state, f"stlstm_layer.{layer}.")
            it, gt, ot = conv(block, "conv_t_cc", h[layer]).chunk(3, 1)
            im, gm, fm, om = conv(block, "conv_s_cc", m).chunk(4, 1)
            ix, gx, fx, ox = conv(block, "conv_x_cc", h[layer - 1]).chunk(4, 1)
            m = torch.sigmoid(fx + fm + 1) * m + torch.sigmoid(ix + im) * torch.tanh(gx + gm)
            t, s[layer] = memory_unit(block, d[layer], c[layer], s[layer])
            c[layer] = t + torch.sigmoid(ix + it) * torch.tanh(gx + gt)
            merged = torch.tanh(conv(block, "conv_last", torch.cat([c[layer], m], 1)))
            h[layer] = torch.sigmoid(ox + ot + om) * merged
        answers.append(from_patches(conv(state, "conv_last", h[-1]), patch))
    return torch.stack(answers, 1)


def simvp_shapes(translator, *, frames=4, hidden=8, wide=16, layers=4, blocks=3, channels=1, ratio=2):
    """SimVP with IncepU ("incepu") or gSTA ("gsta"), or TAU ("tau")."""

    def module(key, *shape, bias=True):
        return {f"{key}.weight": shape, **({f"{key}.bias": (shape[0],)} if bias else {})}

    found = module("dec.readout", channels, hidden, 1, 1)
    for layer in range(layers):
        inputs = hidden if layer else channels
        up = (layers - 1 - layer) % 2 == 1
        found |= module(f"enc.enc.{layer}.conv.conv", hidden, inputs, 3, 3)
        found |= module(f"enc.enc.{layer}.conv.norm", hidden)
        inner = f"dec.dec.{layer}.conv.conv" + (".0" if up else "")
        found |= module(inner, hidden * (4 if up else 1), hidden, 3, 3) | module(f"dec.dec.{layer}.conv.norm", hidden)
    together = frames * hidden
    if translator == "incepu":
        for way in ("enc", "dec"):
            for block in range(blocks):
                inputs = {("enc", 0): together, ("dec", 0): wide}.get((way, block), wide if way == "enc" else 2 * wide)
                outputs = together if (way, block) == ("dec", blocks - 1) else wide
                half, groups = wide // 2, 8 if wide // 2 % 8 == 0 else 1
                found |= module(f"hid.{way}.{block}.conv1", half, inputs, 1, 1)
                for branch, kernel in enumerate((3, 5, 7, 11)):
                    part = f"hid.{way}.{block}.layers.{branch}"
                    found |= module(f"{part}.conv", outputs, half // groups, kernel, kernel)
                    found |= module(f"{part}.norm", outputs)
        return found
    widths = [together, *[wide] * (blocks - 1), together]
    for block in range(blocks):
        inputs, outputs = widths[block : block + 2]
        at = f"hid.enc.{block}.block"
        for norm in ("norm1", "norm2"):
            found |= module(f"{at}.{norm}", inputs)
            found |= {f"{at}.{norm}.running_mean": (inputs,), f"{at}.{norm}.running_var": (inputs,)}
            found |= {f"{at}.{norm}.num_batches_tracked": ()}
        found |= module(f"{at}.attn.proj_1", inputs, inputs, 1, 1) | module(f"{at}.attn.proj_2", inputs, inputs, 1, 1)
        gate = f"{at}.attn.spatial_gating_unit"
        found |= module(f"{gate}.conv0", inputs, 1, 5, 5) | module(f"{gate}.conv_spatial", inputs, 1, 7, 7)
        found |= module(f"{gate}.conv1", inputs * (1 if translator == "tau" else 2), inputs, 1, 1)
        if translator == "tau":
            squeezed = inputs // max(inputs // 16, 4)
            found |= module(f"{gate}.fc.0", squeezed, inputs, bias=False)
            found |= module(f"{gate}.fc.2", inputs, squeezed, bias=False)
        expanded = ratio * inputs
        found |= module(f"{at}.mlp.fc1", expanded, inputs, 1, 1) | module(f"{at}.mlp.fc2", inputs, expanded, 1, 1)
        found |= module(f"{at}.mlp.dwconv.dwconv", expanded, 1, 3, 3)
        found |= {f"{at}.layer_scale_1": (inputs,), f"{at}.layer_scale_2": (inputs,)}
        if inputs != outputs:
            found |= module(f"hid.enc.{block}.reduction", outputs, inputs, 1, 1)
    return found


def simvp(state, frames, translator, *, layers=4, blocks=3, skip=True):
    """frames [b, t, c, y, x] -> the t frames that follow."""
    batch, count = frames.shape[:2]
    x = frames.flatten(0, 1)
    seen = []
    for layer in range(layers):
        part = below(state, f"enc.enc.{layer}.conv.")
        x = functional.conv2d(x, part["conv.weight"], part["conv.bias"], 1 + layer % 2, 1)
        x = functional.silu(functional.group_norm(x, 2, part["norm.weight"], part["norm.bias"]))
        seen.append(x)
    x = x.reshape(batch, -1, *x.shape[-2:])
    x = inception(state, x, blocks) if translator == "incepu" else attentions(state, x, blocks)
    x = x.reshape(batch * count, -1, *x.shape[-2:])
    for layer in range(layers):
        part = below(state, f"dec.dec.{layer}.conv.")
        x = x + seen[0] if layer == layers - 1 and skip else x
        x = conv(part, "conv", x)
        x = functional.pixel_shuffle(x, 2) if "conv.0.weight" in part else x
        x = functional.silu(functional.group_norm(x, 2, part["norm.weight"], part["norm.bias"]))
    return conv(state, "dec.readout", x).unflatten(0, (batch, count))


def inception(state, x, blocks):
    def block(part, x):
        x, y = conv(part, "conv1", x), 0
        for branch in range(4):
            at = below(part, f"layers.{branch}.")
            weight = at["conv.weight"]
            groups = x.shape[1] // weight.shape[1]
            z = functional.conv2d(x, weight, at["conv.bias"], 1, weight.shape[-1] // 2, groups=groups)
            z = functional.group_norm(z, groups, at["norm.weight"], at["norm.bias"])
            y = y + functional.leaky_relu(z, 0.2)
        return y

    heard = []
    for index in range(blocks):
        x = block(below(state, f"hid.enc.{index}."), x)
        heard.append(x)
    for index in range(blocks):
        x = block(below(state, f"hid.dec.{index}."), torch.cat([x, heard[blocks - 1 - index]], 1) if index else x)
    return x


def attentions(state, x, blocks):
    def apart(part, key, x, dilation=1):
        weight = part[f"{key}.weight"]
        pad = dilation * (weight.shape[-1] // 2)
        groups = x.shape[1]
        return functional.conv2d(x, weight, part[f"{key}.bias"], 1, pad, dilation, groups)

    def norm(part, x):
        return functional.batch_norm(x, *(part[key] for key in ("running_mean", "running_var", "weight", "bias")))

    for index in range(blocks):
        part = below(state, f"hid.enc.{index}.block.")
        gate = below(part, "attn.spatial_gating_unit.")
        normed = norm(below(part, "norm1."), x)
        u = functional.gelu(conv(part, "attn.proj_1", normed))
        wide = conv(gate, "conv1", apart(gate, "conv_spatial", apart(gate, "conv0", u), 3))
        if "fc.0.weight" in gate:
            means = torch.relu(u.mean((2, 3)) @ gate["fc.0.weight"].T) @ gate["fc.2.weight"].T
            u = torch.sigmoid(means)[:, :, None, None] * wide * u
        else:
            seen, opens = wide.chunk(2, 1)
            u = torch.sigmoid(opens) * seen
        x = x + part["layer_scale_1"][:, None, None] * (conv(part, "attn.proj_2", u) + normed)
        mlp = below(part, "mlp.")
        y = functional.gelu(apart(mlp, "dwconv.dwconv", conv(mlp, "fc1", norm(below(part, "norm2."), x))))
        x = x + part["layer_scale_2"][:, None, None] * conv(mlp, "fc2", y)
        if f"hid.enc.{index}.reduction.weight" in state:
            x = conv(state, f"hid.enc.{index}.reduction", x)
    return x
