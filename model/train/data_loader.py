"""Batches drawn ahead by threads, while the device computes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch

from model.data.sources import WindowSource
from model.data.windows import Window
from model.train.batch import Batch, collate


def drawn(source: WindowSource, seed: int, iteration: int, batch: int) -> list[Window]:
    """The windows of an iteration: of its seed and number alone, whatever was drawn before, and by which thread."""
    return next(source.training(np.random.default_rng((seed, iteration)), batch))


def batches(
    source: WindowSource,
    *,
    seed: int,
    batch: int,
    rows: Sequence[int],
    iterations: range,
    workers: int,
    device: torch.device,
) -> Generator[tuple[Batch, float]]:
    """The batch of each iteration, and for how many seconds it was waited for.

    `workers` threads draw, each a batch of its own; so many batches and one more are held ready. Of each, `rows` are
    kept: every process draws the whole batch, for which window comes next depends on those before it.
    """

    def made(iteration: int) -> Batch:
        return collate(drawn(source, seed, iteration, batch), device, rows)

    pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="loader")
    waiting: deque[Future[Batch]] = deque()
    coming = iter(iterations)
    try:
        for _ in iterations:
            while len(waiting) <= workers and (iteration := next(coming, None)) is not None:
                waiting.append(pool.submit(made, iteration))
            began = time.perf_counter()
            ready = waiting.popleft().result()
            yield ready, time.perf_counter() - began
    finally:
        pool.shutdown(cancel_futures=True)
