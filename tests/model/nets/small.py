"""Every network of the project, shrunk until a test can afford it; everything but the channels is as published."""

from dataclasses import replace

import torch

from model.nets.forecast_model import FrameBatch, ModelConfig, RecurrentModel, build_model
from model.nets.networks import AS_PUBLISHED, IN_MS_RNN
from model.nets.simvp import SimVPConfig

CONTEXT = 4
SIDE = 32


def _shrunk(net):
    if isinstance(net, SimVPConfig):
        return replace(net, frames=CONTEXT, hidden=8, translator_hidden=16, translator_layers=3, mlp_ratio=2.0)
    hidden = 8 if isinstance(net.hidden, int) else (12, *[8] * (len(net.scales) - 1))
    return replace(net, hidden=hidden, links=3)


def _config(name, net):
    return ModelConfig(net=_shrunk(net), reads_known=False, reads_time=False, fields=2 if "action" in name else 0)


CONFIGS = {
    **{f"{name} in MS-RNN": _config(name, build()) for name, build in IN_MS_RNN.items()},
    **{
        f"{name} as published by MS-RNN": _config(name, replace(IN_MS_RNN[name](), as_published=True))
        for name in ("trajgru", "ms-trajgru", "motionrnn", "ms-motionrnn")
    },
    **{name: _config(name, build()) for name, build in AS_PUBLISHED.items()},
}


def network(name, *, loud=True):
    """The network, seeded; `loud`: weights large enough that what it remembers shows in what it answers."""
    torch.manual_seed(7)
    net = build_model(CONFIGS[name])
    output = net.stack.embedding.output if isinstance(net, RecurrentModel) else net.net.output
    with torch.no_grad():
        for parameter in net.parameters() if loud else []:
            parameter.mul_(1.5)
        for parameter in output.parameters():  # zero at first, which would hide all else
            parameter.normal_(std=0.1)
    return net.eval()


def frames(net, batch=1, height=SIDE, width=SIDE, context=CONTEXT, seed=3):
    """Random frames and, where the network hears any, fields."""
    generator = torch.Generator().manual_seed(seed)
    count = net.config.fields
    return FrameBatch(
        data=torch.rand(batch, context, 1, height, width, generator=generator),
        known=torch.ones(batch, context, 1, height, width),
        step_minutes=torch.full((batch,), 5.0),
        fields=torch.rand(batch, context + 8, count, height, width, generator=generator) if count else None,
    )
