"""From a frame to the first layer's features, and from the last layer's features to a frame."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def in_patches(frame: Tensor, patch: int) -> Tensor:
    """Space to depth: [b, c, y, x] -> [b, c * patch * patch, y / patch, x / patch]."""
    return functional.pixel_unshuffle(frame, patch) if patch > 1 else frame


def out_of_patches(planes: Tensor, patch: int) -> Tensor:
    """The way back."""
    return functional.pixel_shuffle(planes, patch) if patch > 1 else planes


class PatchEmbedding(nn.Module):
    """Squares of `patch` x `patch` pixels become channels (space to depth), as in PredRNN; then, as in MS-RNN, a 1x1
    convolution to `embedded` channels, unless that is None. The way back is a 1x1 convolution and depth to space."""

    def __init__(self, patch: int, embedded: int | None, last: int, *, inputs: int, outputs: int, bias: bool) -> None:
        super().__init__()
        self.patch = self.stride = patch
        self.features = embedded or inputs
        self.embed = nn.Conv2d(inputs, embedded, 1, bias=bias) if embedded else nn.Identity()
        self.output = nn.Conv2d(last, outputs, 1, bias=bias)

    def encode(self, frame: Tensor, conditions: Tensor | None) -> tuple[Tensor, tuple[Tensor, ...]]:
        """frame [b, in, y, x], conditions [b, n] -> features [b, features, y / patch, x / patch], nothing to skip."""
        x: Tensor = self.embed(with_planes(in_patches(frame, self.patch), conditions))
        return x, ()

    def decode(self, h: Tensor, skips: tuple[Tensor, ...]) -> Tensor:
        """The last layer's H -> answer [b, out, y, x]."""
        return out_of_patches(self.output(h), self.patch)


class StridedEmbedding(nn.Module):
    """Patches, then two convolutions of stride 2, and two transposed ones back, with their inputs added where `skips`:
    how action-conditioned PredRNN (predrnn-pytorch: conv_on_input, res_on_conv) reads and answers."""

    def __init__(
        self, patch: int, hidden: int, kernel: int, *, inputs: int, outputs: int, bias: bool, skips: bool
    ) -> None:
        super().__init__()
        self.patch, self.stride = patch, 4 * patch
        self.features = hidden
        self.skips = skips
        self.embed = strided_pair(inputs, hidden, kernel, bias=bias)

        def widen(channels: int, answers: int) -> nn.ConvTranspose2d:
            return nn.ConvTranspose2d(channels, answers, kernel, 2, kernel // 2, output_padding=1, bias=bias)

        self.output = nn.ModuleList([widen(hidden, hidden // 2), widen(hidden // 2, outputs)])

    def encode(self, frame: Tensor, conditions: Tensor | None) -> tuple[Tensor, tuple[Tensor, ...]]:
        """frame [b, in, y, x], conditions [b, n] -> features [b, hidden, y / stride, x / stride], and what to skip."""
        half = self.embed[0](with_planes(in_patches(frame, self.patch), conditions))
        quarter = self.embed[1](half)
        return quarter, (half, quarter) if self.skips else ()

    def decode(self, h: Tensor, skips: tuple[Tensor, ...]) -> Tensor:
        """The last layer's H -> answer [b, out, y, x]."""
        half, quarter = skips or (0.0, 0.0)
        return out_of_patches(self.output[1](self.output[0](h + quarter) + half), self.patch)


Embedding = PatchEmbedding | StridedEmbedding


class ActionEmbedding(nn.Module):
    """Conditioning fields or vectors, per frame, as features on the first layer's grid."""

    def __init__(self, *, actions: int, hidden: int, embedding: Embedding, kernel: int, bias: bool) -> None:
        super().__init__()
        self.patch = embedding.patch
        planes = actions * self.patch**2
        strided = isinstance(embedding, StridedEmbedding)
        self.embed = (
            strided_pair(planes, hidden, kernel, bias=bias) if strided else nn.Conv2d(planes, hidden, 1, bias=bias)
        )

    def forward(self, fields: Tensor) -> Tensor:
        """[b, n, y, x] -> [b, hidden, y / stride, x / stride]."""
        features: Tensor = self.embed(functional.pixel_unshuffle(fields, self.patch))
        return features


def strided_pair(inputs: int, hidden: int, kernel: int, *, bias: bool) -> nn.Sequential:
    """Two convolutions of stride 2, to half and to all of the channels."""
    return nn.Sequential(
        nn.Conv2d(inputs, hidden // 2, kernel, 2, kernel // 2, bias=bias),
        nn.Conv2d(hidden // 2, hidden, kernel, 2, kernel // 2, bias=bias),
    )


def with_planes(x: Tensor, conditions: Tensor | None) -> Tensor:
    """x [b, c, y, x] with each of the conditions [b, n] as one more plane."""
    if conditions is None:
        return x
    planes = conditions[:, :, None, None].expand(-1, -1, x.shape[2], x.shape[3])
    return torch.cat([x, planes], dim=1)
