"""A recurrent network as a one-step ONNX graph with explicit states, and proof that it answers like torch."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from model.core.units import FloatArray
from model.nets.rain_nowcaster import RainNowcaster, state_names
from model.runtime.onnx import OneStepSession

OPSET = 18


class _OneStep(nn.Module):
    """`RainNowcaster.step` with its states as separate arguments: the signature of the graph."""

    def __init__(self, net: RainNowcaster) -> None:
        super().__init__()
        self.net = net

    def forward(self, fraction: Tensor, valid: Tensor, conditions: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        answer, new_state = self.net.step(fraction, valid, conditions, state)
        return (answer, *new_state)


def export_step(net: RainNowcaster, path: Path) -> None:
    """Write the graph: `fraction`, `valid`, `conditions` and states in; `next` and `new_*` states out.

    Batch, height and width are free; height and width must be multiples of the stack's stride.
    """
    config = net.stack.config
    side = 4 * config.stride
    names = list(state_names(len(config.scales)))
    example = torch.zeros(1, 1, side, side)
    state = net.stack.initial_state(1, side, side, example)
    axes = {name: {0: "batch", 2: f"height_{name}", 3: f"width_{name}"} for name in names}
    axes |= {f"new_{name}": axes[name] for name in names}
    frame = {0: "batch", 2: "height", 3: "width"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's remarks on constant shapes; parity is checked by number
        torch.onnx.export(
            _OneStep(net).eval(),
            (example, example, torch.zeros(1, 2), *state),
            path,
            input_names=["fraction", "valid", "conditions", *names],
            output_names=["next", *(f"new_{name}" for name in names)],
            dynamic_axes={
                "fraction": frame,
                "valid": frame,
                "next": frame,
                "conditions": {0: "batch"},
                **axes,
            },
            opset_version=OPSET,
            dynamo=False,
            do_constant_folding=True,
        )
    model = onnx.load(path)
    strides = [config.patch * scale for scale in config.scales for _ in "hc"] + [config.patch]
    onnx.helper.set_model_props(model, {"state_strides": ",".join(map(str, strides))})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


@torch.no_grad()
def largest_difference(net: RainNowcaster, path: Path, *, steps: int, shape: tuple[int, int], frames: int) -> float:
    """Largest absolute difference of any pixel fraction between torch and the graph, over a whole forecast."""
    rng = np.random.default_rng(0)
    context = rng.random((frames, *shape), dtype=np.float32)
    valid = (rng.random((frames, *shape)) > 0.05).astype(np.float32)
    context *= valid
    net.eval()
    with_torch = net(torch.from_numpy(context)[None], torch.from_numpy(valid)[None], torch.tensor([5.0]), steps)
    session = OneStepSession(path)
    with_onnx: list[FloatArray] = list(session.run(context, valid, 5.0, steps))
    return float(np.abs(with_torch[0].numpy() - np.stack(with_onnx)).max())
