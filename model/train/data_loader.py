"""The data loader: threads draw batches in advance while the device computes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch

from model.data.datasets import WindowDataset
from model.data.windows import Window
from model.train.batch import Batch, collate


def draw_windows(source: WindowDataset, seed: int, iteration: int, batch: int) -> list[Window]:
    """Draw the windows of an iteration, which depend on seed and iteration alone.

    Neither earlier draws nor the number of threads change them, so that a resumed run sees the same windows.
    """
    return next(source.training(np.random.default_rng((seed, iteration)), batch))


def load_batches(
    source: WindowDataset,
    *,
    seed: int,
    batch: int,
    rows: Sequence[int],
    iterations: range,
    workers: int,
    device: torch.device,
) -> Generator[tuple[Batch, float]]:
    """Yield the batch of each iteration, drawn in advance.

    Parameters
    ----------
    source : WindowDataset
        Where windows are drawn from.
    seed : int
        Seed of the run.
    batch : int
        Number of windows in a batch, over all processes.
    rows : sequence of int
        Indices of the windows that this process keeps. It draws the whole batch all the same: which window comes next
        depends on the windows before it.
    iterations : range
        The iterations, from 0.
    workers : int
        Number of threads; each draws a batch of its own. One batch more than threads is held ready.
    device : torch.device
        Where the tensors go.

    Yields
    ------
    tuple of Batch and float
        The batch, and the seconds that the caller waited for it.
    """

    def load(iteration: int) -> Batch:
        return collate(draw_windows(source, seed, iteration, batch), device, rows)

    pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="loader")
    pending: deque[Future[Batch]] = deque()
    upcoming = iter(iterations)
    try:
        for _ in iterations:
            while len(pending) <= workers and (iteration := next(upcoming, None)) is not None:
                pending.append(pool.submit(load, iteration))
            start = time.perf_counter()
            loaded = pending.popleft().result()
            yield loaded, time.perf_counter() - start
    finally:
        pool.shutdown(cancel_futures=True)
