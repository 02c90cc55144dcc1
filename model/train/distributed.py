"""Several processes that train one network: `torchrun` starts them, and each has its share of every batch.

All ranks hold the same weights. Losses are those of the whole batch (`DistributedContext.total`). Gradients of the
shares are summed once, after the backward pass: a recurrent network uses its weights at every time step, so no gradient
is complete, and nothing can be sent, before the backward pass has reached the first frame.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed

# Its functions have the process group of the moment of their import as a default, and optimisers import it. Imported
# here, before there is a group, it does not keep one beyond its end: the threads of Gloo would still run when Python
# ends, which then aborts now and then (pytorch/pytorch#190489).
import torch.distributed.nn.functional
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from model.core.errors import InputError

T = TypeVar("T")


class _Total(torch.autograd.Function):
    """The sum over ranks. Its gradient stays as it is: those of the ranks' parts are added up later."""

    @staticmethod
    def forward(ctx: FunctionCtx, part: Tensor) -> Tensor:
        whole = part.detach().clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> Tensor:
        return gradient


@dataclass(frozen=True, kw_only=True)
class DistributedContext:
    """Which of how many processes this is; `local`: on its machine. Rank 0 is the one that writes and speaks."""

    rank: int = 0
    world: int = 1
    local: int = 0

    @property
    def main(self) -> bool:
        """Whether it writes and speaks."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """The accelerator of this process, or the CPU."""
        return torch.device("cuda", self.local) if torch.cuda.is_available() else torch.device("cpu")

    def rows(self, batch: int, parts: int) -> tuple[int, ...]:
        """Which windows of a batch are this rank's: an equal share of each of its `parts`.

        Raises
        ------
        InputError
            They cannot be shared equally.
        """
        part, share = batch // parts, batch // parts // self.world
        if share * self.world * parts != batch:
            raise InputError(
                f"a batch of {batch} in {parts} parts cannot be shared equally by {self.world} processes",
                where="--batch",
                hint=f"Choose a multiple of {self.world * parts}",
            )
        return tuple(index for first in range(self.rank * share, batch, part) for index in range(first, first + share))

    def total(self, part: Tensor) -> Tensor:
        """The sum over ranks of what each has, any shape; differentiable."""
        return _Total.apply(part) if self.world > 1 else part  # type: ignore[no-untyped-call]

    def mean(self, part: Tensor) -> Tensor:
        """The mean over ranks; differentiable."""
        return self.total(part) / self.world

    def summed(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The sum over ranks of counts and sums."""
        if self.world == 1:
            return values
        whole = torch.from_numpy(values).to(self.device, copy=True)
        torch.distributed.all_reduce(whole)
        return np.asarray(whole.cpu().numpy())

    def agreed(self, seconds: float, signal: int) -> tuple[float, int]:
        """Rank 0's seconds, and the signal that any rank has heard, or 0."""
        if self.world == 1:
            return seconds, signal
        told = torch.tensor([seconds if self.main else 0.0, signal], dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(told, torch.distributed.ReduceOp.MAX)
        return float(told[0]), int(told[1])

    def gathered(self, own: Tensor) -> Tensor:
        """What all ranks have, one after the other along the first dimension; all of one shape."""
        if self.world == 1:
            return own
        parts = [torch.empty_like(own, memory_format=torch.contiguous_format) for _ in range(self.world)]
        torch.distributed.all_gather(parts, own.contiguous())
        return torch.cat(parts)

    def sum_gradients(self, net: nn.Module) -> None:
        """Put the sum over ranks in the place of each gradient."""
        if self.world == 1:
            return
        gradients = [parameter.grad for parameter in net.parameters() if parameter.grad is not None]
        whole = torch.cat([gradient.reshape(-1) for gradient in gradients])
        torch.distributed.all_reduce(whole)
        for gradient, summed in zip(gradients, torch.split(whole, [g.numel() for g in gradients]), strict=True):
            gradient.copy_(summed.view(gradient.shape))

    def average_buffers(self, net: nn.Module) -> None:
        """Put the mean over ranks in the place of what each batch norm has counted of its share."""
        if self.world == 1:
            return
        for buffer in net.buffers():
            if buffer.is_floating_point():
                torch.distributed.all_reduce(buffer)
                buffer /= self.world

    def broadcast(self, make: Callable[[], T]) -> T:
        """What rank 0 makes of it, on all ranks; where that cannot be made, it says why, and all end."""
        if self.world == 1:
            return make()
        told: list[Any] = [None, None]
        if self.main:
            try:
                told[0] = make()
            except InputError as error:
                told[1] = error
        torch.distributed.broadcast_object_list(told, src=0, device=self.device)
        self._end_with(told[1])
        return told[0]  # type: ignore[no-any-return]

    def build_in_turn(self, make: Callable[[], T]) -> T:
        """What each rank makes of it: rank 0 first, then one per machine, then the others.

        What an earlier one leaves in a folder, the later ones find there.
        """
        if self.world == 1:
            return make()
        mine = 0 if self.main else 1 if self.local == 0 else 2
        made: T | None = None
        for turn in range(3):
            failed: list[InputError | None] = [None]
            try:
                made = make() if turn == mine else made
            except InputError as error:
                failed[0] = error
            everyones: list[Any] = [None] * self.world
            torch.distributed.all_gather_object(everyones, failed[0])
            self._end_with(next((error for error in everyones if error is not None), None))
        return made  # type: ignore[return-value]

    def _end_with(self, error: InputError | None) -> None:
        if error is not None:
            raise error if self.main else SystemExit(2)


SINGLE_PROCESS = DistributedContext()


@contextmanager
def ranks() -> Iterator[DistributedContext]:
    """The ranks that torchrun's environment tells of, joined while in the context; one process without it."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield SINGLE_PROCESS
        return
    joined = DistributedContext(rank=int(os.environ["RANK"]), world=world, local=int(os.environ.get("LOCAL_RANK", "0")))
    if joined.device.type == "cuda":
        torch.cuda.set_device(joined.device)
    torch.distributed.init_process_group("nccl" if joined.device.type == "cuda" else "gloo")
    try:
        yield joined
    finally:
        torch.distributed.destroy_process_group()
