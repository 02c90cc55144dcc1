"""A list of texts in two files that stay on disk: a text is read when it is asked for."""

from __future__ import annotations

import mmap
from bisect import bisect_left
from collections.abc import Iterable
from pathlib import Path

import numpy as np

SEPARATOR = b"\n"


class TextList:
    """Texts of NAME.txt (UTF-8, one a line), found by NAME.npy: where each begins.

    Parameters
    ----------
    folder, name
        Of the files.
    """

    def __init__(self, folder: Path, name: str) -> None:
        with (folder / f"{name}.txt").open("rb") as file:
            self._text = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._starts = np.load(folder / f"{name}.npy", mmap_mode="r")

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, index: int) -> bytes:
        if index >= len(self):
            raise IndexError(index)
        return self._text[int(self._starts[index]) : int(self._starts[index + 1]) - len(SEPARATOR)]

    def text(self, index: int) -> str:
        """Return a text."""
        return self[index].decode()

    def with_prefix(self, prefix: str) -> tuple[int, int]:
        """Return the first text with a prefix, and the one after the last; of a list that is sorted as bytes."""
        encoded = prefix.encode()
        return bisect_left(self, encoded), bisect_left(self, encoded + b"\xff")


def write_texts(texts: Iterable[str], folder: Path, name: str) -> None:
    """Write the files of a list.

    Raises
    ------
    ValueError
        A text has a line break.
    """
    lines = [text.encode() + SEPARATOR for text in texts]
    if any(line.count(SEPARATOR) != 1 for line in lines):
        raise ValueError(f"{name}: a text has a line break")
    (folder / f"{name}.txt").write_bytes(b"".join(lines))
    np.save(folder / f"{name}.npy", np.concatenate([[0], np.cumsum([len(line) for line in lines])]).astype(np.uint32))
