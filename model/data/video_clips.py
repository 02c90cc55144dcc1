"""What the video data sets share: clips of consecutive frames, by number, become windows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from model.core.errors import InputError, TooFewFrames
from model.core.units import FloatArray
from model.data.windows import Window

ReadClip = Callable[[int], FloatArray]
"""Returns the frames [t, c, y, x] in [0, 1] of a clip by its number."""


def window_from_clip(frames: FloatArray, context: int, step_minutes: float) -> Window:
    """Return a window of frames [t, c, y, x]: the first `context` as context, the others as target."""
    return Window(context=frames[:context], target=frames[context:], step_minutes=step_minutes)


def random_batches(
    read_clip: ReadClip, number: int, context: int, step_minutes: float, rng: np.random.Generator, batch: int
) -> Iterator[list[Window]]:
    """Yield batches of `batch` clips drawn evenly from `number` clips, without end."""
    while True:
        yield [window_from_clip(read_clip(int(i)), context, step_minutes) for i in rng.integers(number, size=batch)]


def fixed_batches(
    read_clip: ReadClip, number: int, context: int, step_minutes: float, seed: int, batch: int, count: int
) -> list[list[Window]]:
    """Return `count` different clips of `number`, or all of them, in batches: the same clips for the same seed."""
    indices = np.sort(np.random.default_rng(seed).permutation(number)[:count])
    return [
        [window_from_clip(read_clip(int(i)), context, step_minutes) for i in indices[first : first + batch]]
        for first in range(0, len(indices), batch)
    ]


def require_clips(number: int, purpose: str, where: Path, hint: str) -> int:
    """Return `number`, the number of clips, if it is positive.

    Raises
    ------
    TooFewFrames
        There are no clips for the purpose.
    """
    if number < 1:
        raise TooFewFrames(f"no clip to {purpose}", where=str(where), hint=hint)
    return number


def dataset_error(problem: str, where: Path, site: str) -> InputError:
    """Return the error for a file of a public data set that is missing or not the expected one."""
    return InputError(problem, where=str(where), hint=f"Download it from {site}; docs/datasets.md shows its layout")


def digest_files(paths: Sequence[Path]) -> str:
    """Return the SHA-256 (hex) of the names and contents of files, in their order."""
    sha = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            sha.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return sha.hexdigest()
