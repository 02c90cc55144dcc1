"""What the video data sets share: clips of consecutive frames become windows, by number."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from model.core.errors import InputError, TooFewFrames
from model.core.units import FloatArray
from model.data.windows import Window

ReadClip = Callable[[int], FloatArray]
"""The frames [t, c, y, x] in [0, 1] of a clip by its number."""


def window_from_clip(frames: FloatArray, context: int, step_minutes: float) -> Window:
    """The first `context` of the frames [t, c, y, x], and the rest as target."""
    return Window(context=frames[:context], target=frames[context:], step_minutes=step_minutes)


def random_batches(
    clip: ReadClip, number: int, context: int, step_minutes: float, rng: np.random.Generator, batch: int
) -> Iterator[list[Window]]:
    """Endless batches of clips, each as likely as any other of the `number` there are."""
    while True:
        yield [window_from_clip(clip(int(index)), context, step_minutes) for index in rng.integers(number, size=batch)]


def fixed_batches(
    clip: ReadClip, number: int, context: int, step_minutes: float, seed: int, batch: int, count: int
) -> list[list[Window]]:
    """`count` different clips, or all there are, in the order that they lie in: the same for the same seed."""
    indices = np.sort(np.random.default_rng(seed).permutation(number)[:count])
    return [
        [window_from_clip(clip(int(index)), context, step_minutes) for index in indices[first : first + batch]]
        for first in range(0, len(indices), batch)
    ]


def require_clips(number: int, what: str, where: Path, hint: str) -> int:
    """`number`, if it is above 0.

    Raises
    ------
    TooFewFrames
        There is none.
    """
    if number < 1:
        raise TooFewFrames(f"no clip to {what}", where=str(where), hint=hint)
    return number


def dataset_error(what: str, where: Path, site: str) -> InputError:
    """The error that a file of a data set is not there, or is not what it should be."""
    return InputError(what, where=str(where), hint=f"Get it from {site}; docs/datasets.md says how it must lie")


def digest_files(paths: Sequence[Path]) -> str:
    """SHA-256 (hex) of files: their names and contents, in this order."""
    sha = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            sha.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return sha.hexdigest()
