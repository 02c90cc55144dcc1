"""Processes that read files: results come in the order of the files, and Ctrl-C reaches the parent process only."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TypeVar

import cv2

from model.core.errors import InputError

Result = TypeVar("Result")


def map_files(work: Callable[[Path], Result], paths: Iterator[Path], workers: int) -> Iterator[tuple[Path, Result]]:
    """Yield files and the results of `work` in order; at most two files per process are in flight.

    Parameters
    ----------
    work
        A function that can be pickled for another process.
    paths
        The files.
    workers
        Number of processes; 1 works in this process.

    Raises
    ------
    InputError
        A process was killed.
    """
    if workers == 1:
        yield from ((path, work(path)) for path in paths)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
    waiting: deque[tuple[Path, Future[Result]]] = deque()
    try:
        for path in paths:
            with _sigint_blocked():  # a process that this starts inherits the mask until _start_worker ignores SIGINT
                waiting.append((path, pool.submit(work, path)))
            if len(waiting) >= 2 * workers:
                first, future = waiting.popleft()
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()
    except BrokenProcessPool:
        raise InputError(
            f"one of {workers} processes that read files was killed, mostly for lack of memory",
            where="--workers",
            hint="Run the same command again with fewer: written frames are kept",
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Delay SIGINT (Ctrl-C); processes started in the block inherit the signal mask."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker() -> None:
    """Leave SIGINT to the parent process, and exit when the parent process ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_with, args=(parent,), daemon=True).start()


def _exit_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
