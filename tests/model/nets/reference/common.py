"""What the references share: their convolutions, random weights in their layout, patches as they order them, a warp."""

import torch
from torch.nn import functional


def conv(state, key, x, stride=1):
    """Their convolution `key`, or the one at 0 of a sequence, with the layer norm [C, H, W] at 1 where there is one."""
    first = f"{key}.0" if f"{key}.0.weight" in state else key
    weight = state[f"{first}.weight"]
    y = functional.conv2d(x, weight, state.get(f"{first}.bias"), stride, padding=weight.shape[-1] // 2)
    if f"{key}.1.weight" in state:
        y = functional.layer_norm(y, y.shape[1:], state[f"{key}.1.weight"], state[f"{key}.1.bias"])
    return y


def below(state, prefix):
    """The tensors whose keys begin with the prefix, without it."""
    return {key.removeprefix(prefix): tensor for key, tensor in state.items() if key.startswith(prefix)}


def random_state(shapes, seed=0):
    """Weights that keep signals of about their size; scales of norms around 1."""
    generator = torch.Generator().manual_seed(seed)

    def tensor(key, shape):
        if key.endswith("running_var"):
            return torch.rand(shape, generator=generator) + 0.5
        if "num_batches" in key:
            return torch.tensor(7)
        noise = torch.randn(shape, generator=generator)
        is_scale = len(shape) in (1, 3) and key.endswith(".weight") and "ct_" not in key and "oc_" not in key
        if is_scale:
            return 1 + 0.3 * noise
        if "ct_" in key or "oc_" in key:
            return noise
        return noise * 0.3 if len(shape) in (1, 3) else 1.5 * noise / torch.tensor(shape[1:]).prod() ** 0.5

    return {key: tensor(key, shape) for key, shape in shapes.items()}


def conv_shapes(key, inputs, outputs, kernel, *, bias=False, norm=None):
    """Shapes of a convolution; with `norm` (rows, columns) of a sequence of it and a layer norm."""
    first = f"{key}.0" if norm is not None else key
    shapes = {f"{first}.weight": (outputs, inputs, kernel, kernel)}
    if bias:
        shapes[f"{first}.bias"] = (outputs,)
    if norm:
        shapes |= {f"{key}.1.{name}": (outputs, *norm) for name in ("weight", "bias")}
    return shapes


def to_patches(image, side):
    """[b, c, y, x] -> [b, side * side * c, y / side, x / side], planes ordered (row, column, channel)."""
    b, c, y, x = image.shape
    parts = image.reshape(b, c, y // side, side, x // side, side)
    return parts.permute(0, 3, 5, 1, 2, 4).reshape(b, -1, y // side, x // side)


def from_patches(planes, side):
    """The way back."""
    b, n, y, x = planes.shape
    parts = planes.reshape(b, side, side, n // side**2, y, x)
    return parts.permute(0, 3, 4, 1, 5, 2).reshape(b, -1, y * side, x * side)


def warp(image, flow):
    """image [b, c, y, x] read at p + flow(p), flow [b, 2, y, x] as (x, y) in pixels: corners aligned, zero outside."""
    height, width = image.shape[-2:]
    rows, columns = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    x = 2 * (columns + flow[:, 0]) / (width - 1) - 1
    y = 2 * (rows + flow[:, 1]) / (height - 1) - 1
    return functional.grid_sample(image, torch.stack([x, y], dim=-1), align_corners=True)


def published_warp(image, flow):
    """The same in MS-RNN's code: positions as if corners were aligned, sampled as if they were not."""
    height, width = image.shape[-2:]
    rows, columns = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    x = 2 * (columns + flow[:, 0]) / (width - 1) - 1
    y = 2 * (rows + flow[:, 1]) / (height - 1) - 1
    return functional.grid_sample(image, torch.stack([x, y], dim=-1), align_corners=False)


def zeros(x, channels, scale=1):
    """A state to start from, `scale` times coarser than x."""
    return x.new_zeros(x.shape[0], channels, x.shape[2] // scale, x.shape[3] // scale)
