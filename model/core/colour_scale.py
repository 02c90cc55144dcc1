"""Colour scales of pictures: classes of values, each with one colour, ordered by lightness."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

GROUND: Final[Colour] = (243, 245, 244)
"""Dry ground, below the frames. Light, so that the heaviest classes stand out most."""
NO_DATA: Final[tuple[Colour, Colour]] = ((138, 143, 150), (184, 189, 194))
"""The two greys of the hatching."""
DRY_INDEX: Final = 0
DRY_RANK, NO_DATA_RANK = 0, 1
"""Ranks of what is not drawn and of what has no data; those of the classes follow."""


def hex_of(colour: Colour) -> str:
    """Return a colour as `#rrggbb`."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


@dataclass(frozen=True)
class ColourClass:
    """Values from `lower` up to, but not including, `upper` (None: unbounded) and their colour."""

    lower: float
    upper: float | None
    colour: Colour

    @property
    def hex(self) -> str:
        """Return the colour as `#rrggbb`."""
        return hex_of(self.colour)


@dataclass(frozen=True)
class ColourScale:
    """A scale of colours, darker with the value. What is below the first class is transparent, no data is hatched.

    Attributes
    ----------
    classes : tuple of ColourClass
        Ascending and without gaps, in `unit`.
    unit : str
        Unit of the classes, for people.
    per_unit : float
        Value of one unit in arrays: 0.01 where classes are in percent and arrays in 0 to 1.
    tolerance : float
        By how much a value may lie below the lower end of its class, in units: the rounding of packed values.
    """

    classes: tuple[ColourClass, ...]
    unit: str
    per_unit: float = 1.0
    tolerance: float = 0.0

    @property
    def no_data_index(self) -> int:
        """Index of the first grey of no data in `palette`; the second one follows."""
        return len(self.classes) + 1

    @property
    def palette(self) -> tuple[Colour, ...]:
        """Ground, the colours of the classes, and the two greys of no data."""
        return (GROUND, *(item.colour for item in self.classes), *NO_DATA)

    @cached_property
    def edges(self) -> NDArray[np.float32]:
        """Lower ends of the classes, as values of arrays."""
        return np.array([(item.lower - self.tolerance) * self.per_unit for item in self.classes], np.float32)

    def class_index(self, values: NDArray[np.floating]) -> NDArray[np.uint8]:
        """Return indices into `palette`, of any shape: 0 below the classes, then the classes, no_data_index for NaN."""
        index = np.zeros(values.shape, np.uint8)
        for edge in self.edges:
            index += values >= edge
        index[np.isnan(values)] = self.no_data_index
        return index

    def ranks(self, values: NDArray[np.floating]) -> NDArray[np.uint8]:
        """Return ranks, of any shape: 0 below the classes, 1 for NaN, then the classes.

        Of several pixels in the place of one the highest rank counts: no core is lost, and what is not known to be dry
        is not drawn as dry.
        """
        rank = np.zeros(values.shape, np.uint8)
        for edge in self.edges:
            rank += values >= edge
        rank += rank > 0
        rank[np.isnan(values)] = NO_DATA_RANK
        return rank

    @cached_property
    def index_of_rank(self) -> NDArray[np.uint8]:
        """Index into `palette` of each rank."""
        return np.array([DRY_INDEX, self.no_data_index, *range(1, self.no_data_index)], np.uint8)


def colour_classes(table: tuple[tuple[float, str], ...]) -> tuple[ColourClass, ...]:
    """Return the classes of a table of lower ends and colours (`#rrggbb`)."""
    uppers = [lower for lower, _ in table[1:]] + [None]
    return tuple(
        ColourClass(lower, upper, (int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)))
        for (lower, text), upper in zip(table, uppers, strict=True)
    )
