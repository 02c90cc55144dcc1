"""Warping of feature maps along flow fields, for TrajGRU and MotionGRU."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def warp(image: Tensor, flow: Tensor, *, as_published: bool = False) -> Tensor:
    """Sample an image at p + flow(p) for each of n flows, bilinearly, with 0 outside the image.

    A zero flow is the identity, but for the last bit of pixels that are nearly 0 beside large ones. Positions need
    float32 or finer, so the computation is exempt from autocast.

    Parameters
    ----------
    image : [b, c, y, x]
        Feature maps.
    flow : [b, n, 2, y, x]
        Flow fields in pixels, as (x, y).
    as_published
        Whether to reproduce MS-RNN's code, which scales positions for aligned corners and samples without them: pixel p
        of W is read at p W / (W - 1) - 1/2, so that a zero flow shifts the two edges by half a pixel, in opposite
        directions. Weights trained by that code need it (docs/decisions/015).

    Returns
    -------
    Tensor [b, c, n, y, x]
        The warped image of each flow, in the dtype of `image`.
    """
    with torch.autocast(image.device.type, enabled=False):
        exact = image.to(torch.promote_types(image.dtype, torch.float32))
        # Sizes come from the image, whose axes stay dynamic in an exported graph; those of an unflattened flow do not.
        b, _, height, width = image.shape
        x = torch.arange(width, dtype=exact.dtype, device=image.device)
        y = torch.arange(height, dtype=exact.dtype, device=image.device)
        pixels = torch.stack(torch.meshgrid(x, y, indexing="xy"))
        last = torch.stack([x[-1], y[-1]])
        positions = pixels + flow.to(exact.dtype)
        if as_published:
            return _sample(exact, positions, 0, last.clamp(min=1)).to(image.dtype)
        # With align_corners=False, pixel p has its centre at (2 p + 1) / size - 1.
        moved = _sample(exact, positions, 1, last + 1)
        # grid_sample rounds positions, so that even a zero flow shifts by 1e-5 of a pixel: subtract that shift.
        unmoved = _sample(exact, pixels.expand(b, 1, -1, -1, -1), 1, last + 1)
        return (moved + (exact.unsqueeze(2) - unmoved)).to(image.dtype)


def _sample(image: Tensor, positions: Tensor, offset: int, size: Tensor) -> Tensor:
    """Sample an image [b, c, y, x] at positions [b, n, 2, y, x] in pixels; size [2] is (x, y) -> [b, c, n, y, x].

    Position p lies at (2 p + offset) / size - 1, where the edges of the image are at -1 and 1. The n fields are stacked
    along y, so that one call of grid_sample reads them all.
    """
    b, _, height, width = image.shape
    n = positions.shape[1]
    grid = positions.permute(0, 1, 3, 4, 2).reshape(b, n * height, width, 2)
    unit = (2 * grid + offset) / size - 1
    sampled = functional.grid_sample(image, unit, mode="bilinear", padding_mode="zeros", align_corners=False)
    return sampled.reshape(b, -1, n, height, width)
