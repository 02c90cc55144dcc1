"""Moves feature maps along flow fields: what TrajGRU does to H, and MotionGRU to a layer's output."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """Each of n flows reads the image at p + flow(p), bilinearly; what lies outside of it is 0.

    image [b, c, y, x]; flow [b, n, 2, y, x] in pixels, (x, y) -> [b, c, n, y, x]. A zero flow is the identity, exactly
    (but for the last bit of a pixel that is nearly 0 beside large ones).
    Computed in float32 or finer, whatever the autocast: positions need it.
    """
    with torch.autocast(image.device.type, enabled=False):
        exact = image.to(torch.promote_types(image.dtype, torch.float32))
        # Sizes are read off the image, whose axes stay free in an exported graph; those of an unflattened flow do not.
        b, _, height, width = image.shape
        x = torch.arange(width, dtype=exact.dtype, device=image.device)
        y = torch.arange(height, dtype=exact.dtype, device=image.device)
        still = torch.stack(torch.meshgrid(x, y, indexing="xy"))
        size = torch.stack([x[-1], y[-1]]) + 1
        moved = _sample(exact, still + flow.to(exact.dtype), size)
        # grid_sample rounds positions, so that even a zero flow would shift by 1e-5 of a pixel: take that shift off.
        unmoved = _sample(exact, still.expand(b, 1, -1, -1, -1), size)
        return (moved + (exact.unsqueeze(2) - unmoved)).to(image.dtype)


def _sample(image: Tensor, positions: Tensor, size: Tensor) -> Tensor:
    """positions [b, n, 2, y, x] in pixels, size [2] (width, height) -> [b, c, n, y, x].

    The n fields lie below one another in one grid.
    """
    b, _, height, width = image.shape
    n = positions.shape[1]
    grid = positions.permute(0, 1, 3, 4, 2).reshape(b, n * height, width, 2)
    unit = (2 * grid + 1) / size - 1  # pixel centres, as align_corners=False has them
    read = functional.grid_sample(image, unit, mode="bilinear", padding_mode="zeros", align_corners=False)
    return read.reshape(b, -1, n, height, width)
