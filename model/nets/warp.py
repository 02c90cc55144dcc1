"""Moves feature maps along flow fields: what TrajGRU does to H, and MotionGRU to a layer's output."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def warp(image: Tensor, flow: Tensor, *, as_published: bool = False) -> Tensor:
    """Each of n flows reads the image at p + flow(p), bilinearly; what lies outside of it is 0.

    image [b, c, y, x]; flow [b, n, 2, y, x] in pixels, (x, y) -> [b, c, n, y, x]. A zero flow is the identity, exactly
    (but for the last bit of a pixel that is nearly 0 beside large ones).
    Computed in float32 or finer, whatever the autocast: positions need it.

    `as_published`: as in MS-RNN's code, which scales positions for aligned corners and samples without them. Pixel p of
    W is read at p W / (W - 1) - 1/2, so that a zero flow shifts the two edges by half a pixel, in opposite directions.
    """
    with torch.autocast(image.device.type, enabled=False):
        exact = image.to(torch.promote_types(image.dtype, torch.float32))
        # Sizes are read off the image, whose axes stay free in an exported graph; those of an unflattened flow do not.
        b, _, height, width = image.shape
        x = torch.arange(width, dtype=exact.dtype, device=image.device)
        y = torch.arange(height, dtype=exact.dtype, device=image.device)
        still = torch.stack(torch.meshgrid(x, y, indexing="xy"))
        last = torch.stack([x[-1], y[-1]])
        if as_published:
            return _sample(exact, still + flow.to(exact.dtype), 0, last.clamp(min=1)).to(image.dtype)
        # Pixel centres, as align_corners=False has them.
        moved = _sample(exact, still + flow.to(exact.dtype), 1, last + 1)
        # grid_sample rounds positions, so that even a zero flow would shift by 1e-5 of a pixel: take that shift off.
        unmoved = _sample(exact, still.expand(b, 1, -1, -1, -1), 1, last + 1)
        return (moved + (exact.unsqueeze(2) - unmoved)).to(image.dtype)


def _sample(image: Tensor, positions: Tensor, offset: int, size: Tensor) -> Tensor:
    """positions [b, n, 2, y, x] in pixels, size [2] of (x, y) -> [b, c, n, y, x].

    Position p is at (2 p + offset) / size - 1 of the image, whose edges are at -1 and 1. The n fields lie below one
    another in one grid.
    """
    b, _, height, width = image.shape
    n = positions.shape[1]
    grid = positions.permute(0, 1, 3, 4, 2).reshape(b, n * height, width, 2)
    unit = (2 * grid + offset) / size - 1
    read = functional.grid_sample(image, unit, mode="bilinear", padding_mode="zeros", align_corners=False)
    return read.reshape(b, -1, n, height, width)
