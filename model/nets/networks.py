"""The networks by name, each a whole configuration: as their authors published them, and as MS-RNN compares them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from model.nets.simvp import SimVPConfig
from model.nets.stack import StackConfig

PLAIN: Final = (1, 1, 1, 1, 1, 1)
MULTI_SCALE: Final = (1, 2, 4, 4, 2, 1)


def ms_rnn(scales: tuple[int, ...], cell: Mapping[str, Any]) -> StackConfig:
    """A cell in MS-RNN's settings (2206.03010): six layers of 64 channels, 3 x 3 kernels, 1x1 embedding, no patches."""
    return StackConfig(scales=scales, hidden=64, kernel=3, embed="pointwise", forget_bias=0.0, dialect="ms-rnn", **cell)


FOUR_LAYERS: Final = StackConfig(hidden=128, scales=(1, 1, 1, 1), kernel=5, patch=4, bias=False)
"""What predrnn-pytorch, MotionRNN and OpenSTL build on: 5 x 5 kernels, no biases, forget bias 1."""


_CELLS: Final[Mapping[str, Mapping[str, Any]]] = {
    "convlstm": {"cell": "conv-lstm"},
    "trajgru": {"cell": "traj-gru", "links": 10},
    "predrnn": {"cell": "st-lstm"},
    "predrnn-v2": {"cell": "st-lstm", "decoupled": True},
    "predrnn-pp": {"cell": "causal-lstm", "gradient_highway": True},
    "mim": {"cell": "mim"},
    "motionrnn": {"cell": "mim", "motion": True},
}

IN_MS_RNN: Final[Mapping[str, Callable[[], StackConfig]]] = MappingProxyType(
    {
        f"{prefix}{name}": partial(ms_rnn, scales, cell)
        for name, cell in _CELLS.items()
        for prefix, scales in (("", PLAIN), ("ms-", MULTI_SCALE))
    }
)
"""MS-RNN's table: seven networks, each plain and multi-scale."""


def convlstm() -> StackConfig:
    """ConvLSTM in OpenSTL's settings."""
    return replace(FOUR_LAYERS, cell="conv-lstm", forget_bias=0.0)


def predrnn() -> StackConfig:
    """PredRNN (predrnn-pytorch, mnist_script)."""
    return FOUR_LAYERS


def predrnn_v2() -> StackConfig:
    """PredRNN-V2: the same, and the projection W of its decoupling loss."""
    return replace(FOUR_LAYERS, decoupled=True)


def action_predrnn() -> StackConfig:
    """Action-conditioned PredRNN (predrnn-pytorch, bair_script): strided embedding, its inputs added on the way back.

    Their script has 64 channels for this and 128 for the one with decoupling.
    """
    return replace(FOUR_LAYERS, hidden=64, patch=1, embed="strided", embed_skips=True)


def action_predrnn_v2() -> StackConfig:
    """The same with memory decoupling."""
    return replace(action_predrnn(), hidden=128, decoupled=True)


def predrnn_pp() -> StackConfig:
    """PredRNN++ (predrnn-pp): 128 channels in the first layer, 64 in the others, layer norms."""
    return replace(
        FOUR_LAYERS, cell="causal-lstm", gradient_highway=True, hidden=(128, 64, 64, 64), layer_norm=True, bias=True
    )


def mim() -> StackConfig:
    """MIM (authors' repository): four layers of 64 channels, no patches, layer norms."""
    return replace(FOUR_LAYERS, cell="mim", hidden=64, patch=1, layer_norm=True, bias=True)


def motionrnn() -> StackConfig:
    """MotionRNN around PredRNN (authors' repository)."""
    return replace(FOUR_LAYERS, hidden=64, motion=True)


def simvp_incepu() -> SimVPConfig:
    """SimVP with Inception blocks, in OpenSTL's settings for Moving MNIST."""
    return SimVPConfig(translator="incepu", frames=10)


def simvp_gsta() -> SimVPConfig:
    """SimVP with gated spatiotemporal attention, in OpenSTL's settings for Moving MNIST."""
    return SimVPConfig(translator="gsta", frames=10)


def tau() -> SimVPConfig:
    """TAU, in OpenSTL's settings for Moving MNIST."""
    return SimVPConfig(translator="tau", frames=10)


AS_PUBLISHED: Final[Mapping[str, Callable[[], StackConfig | SimVPConfig]]] = MappingProxyType(
    {
        "convlstm": convlstm,
        "predrnn": predrnn,
        "predrnn-v2": predrnn_v2,
        "action-predrnn": action_predrnn,
        "action-predrnn-v2": action_predrnn_v2,
        "predrnn-pp": predrnn_pp,
        "mim": mim,
        "motionrnn": motionrnn,
        "simvp-incepu": simvp_incepu,
        "simvp-gsta": simvp_gsta,
        "tau": tau,
    }
)
"""Each network in the settings of the repository that published it (ConvLSTM, SimVP and TAU: OpenSTL's)."""
