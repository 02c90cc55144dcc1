"""Networks by name, each a complete configuration: as their authors published them, and as MS-RNN compares them."""

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
    """Return a cell in MS-RNN's settings (arXiv 2206.03010): layers of 64 channels, 1x1 embedding, no patches."""
    return StackConfig(
        scales=scales, hidden=64, kernel=3, embed="pointwise", forget_bias=0.0, implementation="ms-rnn", **cell
    )


FOUR_LAYERS: Final = StackConfig(hidden=128, scales=(1, 1, 1, 1), kernel=5, patch=4, bias=False)
"""Base of the networks of predrnn-pytorch, MotionRNN and OpenSTL: 5 x 5 kernels, no biases, forget bias 1."""


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
"""The networks of MS-RNN's comparison: seven, each plain and multi-scale."""


def convlstm() -> StackConfig:
    """Return ConvLSTM in OpenSTL's settings."""
    return replace(FOUR_LAYERS, cell="conv-lstm", forget_bias=0.0)


def predrnn() -> StackConfig:
    """Return PredRNN (predrnn-pytorch, mnist_script)."""
    return FOUR_LAYERS


def predrnn_v2() -> StackConfig:
    """Return PredRNN-V2: PredRNN with the projection W of the decoupling loss."""
    return replace(FOUR_LAYERS, decoupled=True)


def action_predrnn() -> StackConfig:
    """Return action-conditioned PredRNN (predrnn-pytorch, bair_script): strided embedding with skip connections.

    The script has 64 channels here, and 128 with decoupling.
    """
    return replace(FOUR_LAYERS, hidden=64, patch=1, embed="strided", embed_skips=True)


def action_predrnn_v2() -> StackConfig:
    """Return action-conditioned PredRNN with memory decoupling."""
    return replace(action_predrnn(), hidden=128, decoupled=True)


def predrnn_pp() -> StackConfig:
    """Return PredRNN++ (predrnn-pp): 128 channels in the first layer, 64 in the others, layer norms."""
    return replace(
        FOUR_LAYERS, cell="causal-lstm", gradient_highway=True, hidden=(128, 64, 64, 64), layer_norm=True, bias=True
    )


def mim() -> StackConfig:
    """Return MIM (Yunbo426/MIM): four layers of 64 channels, no patches, layer norms."""
    return replace(FOUR_LAYERS, cell="mim", hidden=64, patch=1, layer_norm=True, bias=True)


def motionrnn() -> StackConfig:
    """Return MotionRNN around PredRNN (thuml/MotionRNN)."""
    return replace(FOUR_LAYERS, hidden=64, motion=True)


def simvp_incepu() -> SimVPConfig:
    """Return SimVP with Inception blocks, in OpenSTL's settings for Moving MNIST."""
    return SimVPConfig(translator="incepu", frames=10)


def simvp_gsta() -> SimVPConfig:
    """Return SimVP with gated spatiotemporal attention, in OpenSTL's settings for Moving MNIST."""
    return SimVPConfig(translator="gsta", frames=10)


def tau() -> SimVPConfig:
    """Return TAU in OpenSTL's settings for Moving MNIST."""
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
"""Each network in the settings of the repository that published it; ConvLSTM, SimVP and TAU in OpenSTL's."""
