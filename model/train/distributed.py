"""Distributed training: several processes of `torchrun`, each with its share of every batch.

All ranks hold the same weights. Losses are those of the whole batch (`DistributedContext.sum`). Gradients of the
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

# Functions of this module take the process group at the time of its import as a default argument, and torch's
# optimisers import it. Imported here, before a group exists, it does not keep the group alive beyond its end: otherwise
# threads of Gloo may still run when Python exits, which then sometimes aborts (pytorch/pytorch#190489).
import torch.distributed.nn.functional
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from model.core.errors import InputError

T = TypeVar("T")


class _AllReduceSum(torch.autograd.Function):
    """The sum over ranks. Its backward pass is the identity: `sum_gradients` adds the gradients of the shares later."""

    @staticmethod
    def forward(ctx: FunctionCtx, part: Tensor) -> Tensor:
        total = part.detach().clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> Tensor:
        return gradient


@dataclass(frozen=True, kw_only=True)
class DistributedContext:
    """The place of this process among the processes that train one network.

    Attributes
    ----------
    rank, world_size : int
        Number of this process, from 0, and number of processes.
    local_rank : int
        Number of this process on its machine.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0

    @property
    def is_main(self) -> bool:
        """Whether this process is rank 0, which alone writes files and prints."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """The accelerator of this process, or the CPU."""
        return torch.device("cuda", self.local_rank) if torch.cuda.is_available() else torch.device("cpu")

    def rows(self, batch: int, micro_batches: int) -> tuple[int, ...]:
        """Return the indices of this rank's windows in a batch: an equal share of each micro-batch.

        Raises
        ------
        InputError
            The batch cannot be shared equally.
        """
        size, share = batch // micro_batches, batch // micro_batches // self.world_size
        if share * self.world_size * micro_batches != batch:
            raise InputError(
                f"a batch of {batch} in {micro_batches} parts cannot be shared equally by {self.world_size} processes",
                where="--batch",
                hint=f"Choose a multiple of {self.world_size * micro_batches}",
            )
        return tuple(index for first in range(self.rank * share, batch, size) for index in range(first, first + share))

    def sum(self, part: Tensor) -> Tensor:
        """Return the sum over ranks of tensors of one shape; differentiable."""
        if self.world_size == 1:
            return part
        total: Tensor = _AllReduceSum.apply(part)  # type: ignore[no-untyped-call]  # torch does not annotate it
        return total

    def mean(self, part: Tensor) -> Tensor:
        """Return the mean over ranks of tensors of one shape; differentiable."""
        return self.sum(part) / self.world_size

    def sum_array(self, part: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sum over ranks of arrays of one shape."""
        if self.world_size == 1:
            return part
        total = torch.from_numpy(part).to(self.device, copy=True)
        torch.distributed.all_reduce(total)
        return np.asarray(total.cpu().numpy())

    def synchronise(self, seconds: float, signal: int) -> tuple[float, int]:
        """Return the seconds of rank 0, and the signal that any rank has received, or 0."""
        if self.world_size == 1:
            return seconds, signal
        values = torch.tensor([seconds if self.is_main else 0.0, signal], dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(values, torch.distributed.ReduceOp.MAX)
        return float(values[0]), int(values[1])

    def gather(self, part: Tensor) -> Tensor:
        """Return the tensors of all ranks, which have one shape, concatenated along the first dimension."""
        if self.world_size == 1:
            return part
        parts = [torch.empty_like(part, memory_format=torch.contiguous_format) for _ in range(self.world_size)]
        torch.distributed.all_gather(parts, part.contiguous())
        return torch.cat(parts)

    def sum_gradients(self, net: nn.Module) -> None:
        """Replace each gradient by the sum over ranks, in one message."""
        if self.world_size == 1:
            return
        gradients = [parameter.grad for parameter in net.parameters() if parameter.grad is not None]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        torch.distributed.all_reduce(flat)
        for gradient, total in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
            gradient.copy_(total.view(gradient.shape))

    def average_buffers(self, net: nn.Module) -> None:
        """Replace the running statistics of batch norms by their mean over ranks."""
        if self.world_size == 1:
            return
        for buffer in net.buffers():
            if buffer.is_floating_point():
                torch.distributed.all_reduce(buffer)
                buffer /= self.world_size

    def broadcast(self, make: Callable[[], T]) -> T:
        """Return on all ranks the object that rank 0 makes.

        Raises
        ------
        InputError
            Rank 0 cannot make it. The other ranks exit with code 2.
        """
        if self.world_size == 1:
            return make()
        message: list[Any] = [None, None]
        if self.is_main:
            try:
                message[0] = make()
            except InputError as error:
                message[1] = error
        torch.distributed.broadcast_object_list(message, src=0, device=self.device)
        self._raise(message[1])
        made: T = message[0]
        return made

    def build_in_turn(self, make: Callable[[], T]) -> T:
        """Return the object that each rank makes for itself: rank 0 first, then one per machine, then the others.

        Later ranks find in a folder what earlier ones left there, such as a cache.

        Raises
        ------
        InputError
            A rank cannot make it. The ranks other than 0 exit with code 2.
        """
        if self.world_size == 1:
            return make()
        own_turn = 0 if self.is_main else 1 if self.local_rank == 0 else 2
        made: list[T] = []
        for turn in range(3):
            error: InputError | None = None
            if turn == own_turn:
                try:
                    made.append(make())
                except InputError as raised:
                    error = raised
            errors: list[Any] = [None] * self.world_size
            torch.distributed.all_gather_object(errors, error)
            self._raise(next((each for each in errors if each is not None), None))
        return made[0]

    def _raise(self, error: InputError | None) -> None:
        if error is not None:
            raise error if self.is_main else SystemExit(2)


SINGLE_PROCESS = DistributedContext()


@contextmanager
def join_processes() -> Iterator[DistributedContext]:
    """Join the process group that torchrun's environment describes; without torchrun, yield a single process."""
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size == 1:
        yield SINGLE_PROCESS
        return
    context = DistributedContext(
        rank=int(os.environ["RANK"]), world_size=world_size, local_rank=int(os.environ.get("LOCAL_RANK", "0"))
    )
    if context.device.type == "cuda":
        torch.cuda.set_device(context.device)
    torch.distributed.init_process_group("nccl" if context.device.type == "cuda" else "gloo")
    try:
        yield context
    finally:
        torch.distributed.destroy_process_group()
