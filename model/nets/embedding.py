"""Embeddings: from a frame to the features of the first layer, and from the features of the last layer to a frame."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class PatchEmbedding(nn.Module):
    """Space to depth as in PredRNN, then a 1x1 convolution as in MS-RNN; a 1x1 convolution and depth to space back.

    Parameters
    ----------
    patch
        Side of the squares of pixels that become channels.
    embedded
        Output channels of the 1x1 convolution; None for no convolution.
    last
        Channels of the last layer.
    inputs, outputs
        Channels of a frame in patches: what the network reads and what it predicts.
    coarse
        Further planes that it predicts, at the resolution of patches.
    bias
        Whether convolutions have a bias.
    """

    def __init__(
        self, patch: int, embedded: int | None, last: int, *, inputs: int, outputs: int, bias: bool, coarse: int = 0
    ) -> None:
        super().__init__()
        self.patch, self.coarse = patch, coarse
        self.features = embedded or inputs
        self.embed = nn.Conv2d(inputs, embedded, 1, bias=bias) if embedded else nn.Identity()
        self.output = nn.Conv2d(last, outputs + coarse, 1, bias=bias)

    def encode(self, frame: Tensor, conditions: Tensor | None) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Embed a frame [b, in, y, x] with conditions [b, n].

        Returns
        -------
        tuple
            Features [b, features, y / patch, x / patch], and no skip connections.
        """
        x: Tensor = self.embed(append_planes(to_patches(frame, self.patch), conditions))
        return x, ()

    def decode(self, h: Tensor, skips: tuple[Tensor, ...]) -> tuple[Tensor, Tensor | None]:
        """Return the frame [b, out, y, x] of the last layer's H, and the coarse planes [b, n, y / patch, x / patch]."""
        return _split_coarse(self.output(h), self.coarse, self.patch)


class StridedEmbedding(nn.Module):
    """Patches, then two convolutions of stride 2; two transposed convolutions back.

    Action-conditioned PredRNN has it (predrnn-pytorch, `conv_on_input`). With `skips` (`res_on_conv` there) the output
    of each convolution is added to the input of its transposed counterpart, because H loses detail at a quarter of the
    resolution.
    """

    def __init__(
        self,
        patch: int,
        hidden: int,
        kernel: int,
        *,
        inputs: int,
        outputs: int,
        bias: bool,
        skips: bool,
        coarse: int = 0,
    ) -> None:
        super().__init__()
        self.patch, self.coarse = patch, coarse
        self.features = hidden
        self.skips = skips
        self.embed = strided_convolutions(inputs, hidden, kernel, bias=bias)
        widths = ((hidden, hidden // 2), (hidden // 2, outputs + coarse))
        self.output = nn.ModuleList(
            nn.ConvTranspose2d(into, out, kernel, 2, kernel // 2, output_padding=1, bias=bias) for into, out in widths
        )

    def encode(self, frame: Tensor, conditions: Tensor | None) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Embed a frame [b, in, y, x] with conditions [b, n].

        Returns
        -------
        tuple
            Features [b, hidden, y / stride, x / stride], and the skip connections.
        """
        half = self.embed[0](append_planes(to_patches(frame, self.patch), conditions))
        quarter = self.embed[1](half)
        return quarter, (half, quarter) if self.skips else ()

    def decode(self, h: Tensor, skips: tuple[Tensor, ...]) -> tuple[Tensor, Tensor | None]:
        """Return the frame [b, out, y, x] of the last layer's H, and the coarse planes [b, n, y / patch, x / patch]."""
        half, quarter = skips or (0.0, 0.0)
        return _split_coarse(self.output[1](self.output[0](h + quarter) + half), self.coarse, self.patch)


Embedding = PatchEmbedding | StridedEmbedding


class ActionEmbedding(nn.Module):
    """Features of conditioning fields on the grid of the first layer."""

    def __init__(self, *, actions: int, hidden: int, embedding: Embedding, kernel: int, bias: bool) -> None:
        super().__init__()
        self.patch = embedding.patch
        planes = actions * self.patch**2
        if isinstance(embedding, StridedEmbedding):
            self.embed: nn.Module = strided_convolutions(planes, hidden, kernel, bias=bias)
        else:
            self.embed = nn.Conv2d(planes, hidden, 1, bias=bias)

    def forward(self, fields: Tensor) -> Tensor:
        """Embed fields [b, n, y, x] -> [b, hidden, y / stride, x / stride]."""
        features: Tensor = self.embed(functional.pixel_unshuffle(fields, self.patch))
        return features


def to_patches(frame: Tensor, patch: int) -> Tensor:
    """Space to depth: [b, c, y, x] -> [b, c * patch * patch, y / patch, x / patch]."""
    return functional.pixel_unshuffle(frame, patch) if patch > 1 else frame


def from_patches(planes: Tensor, patch: int) -> Tensor:
    """Depth to space, the inverse of `to_patches`."""
    return functional.pixel_shuffle(planes, patch) if patch > 1 else planes


def _split_coarse(output: Tensor, coarse: int, patch: int) -> tuple[Tensor, Tensor | None]:
    """Return the frame of patches, and the last `coarse` planes as they are."""
    if not coarse:
        return from_patches(output, patch), None
    patches, planes = torch.split(output, [output.shape[1] - coarse, coarse], dim=1)
    return from_patches(patches, patch), planes


def strided_convolutions(inputs: int, hidden: int, kernel: int, *, bias: bool) -> nn.Sequential:
    """Return two convolutions of stride 2, to half of the channels and to all of them."""
    return nn.Sequential(
        nn.Conv2d(inputs, hidden // 2, kernel, 2, kernel // 2, bias=bias),
        nn.Conv2d(hidden // 2, hidden, kernel, 2, kernel // 2, bias=bias),
    )


def append_planes(x: Tensor, conditions: Tensor | None) -> Tensor:
    """Append each of the conditions [b, n] to x [b, c, y, x] as a constant plane."""
    if conditions is None:
        return x
    planes = conditions[:, :, None, None].expand(-1, -1, x.shape[2], x.shape[3])
    return torch.cat([x, planes], dim=1)
