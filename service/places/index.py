"""The places on disk: search by name, and the place that a point is near to.

The files are mapped into memory, so that nothing is loaded, and the processes of a machine share what they read.
`service.places.make` writes them: places by rank, capitals and large towns first, and keys, which are their names in
every spelling as `fold` has them, sorted; also from the second and later words on (`haag` finds Den Haag).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.places.folding import fold, without_umlaut_letters
from service.places.text_list import TextList

DATA: Final = Path(__file__).parent / "data"
ATTRIBUTION: Final = "Places: GeoNames (CC BY 4.0)"
UNIT: Final = 1e-5
"""Of latitudes and longitudes on disk (degrees)."""
EARTH_KM: Final = 6371.0
KM_PER_DEGREE: Final = 111.0
NEAR_KM: Final = 100.0
"""A point farther than this from every place is near none."""
INHABITANTS_PER_KM2: Final = 8000.0
"""Of the middle of a town, to judge how far it reaches."""
EXACT, OTHER_NAME, LATER_WORD = 1.0, -0.7, -0.5
"""What it counts that a name is the one asked for, that it is not the place's usual one, and that only a later word of
it begins like the text; as powers of ten of inhabitants."""
HALFWAY_KM: Final = 100.0
"""A place at this distance counts as if it had a quarter of its inhabitants, at ten times as much a hundredth."""
MANY_KEYS, LARGEST = 20_000, 20_000
"""Where more keys than this begin with a text of one or two letters, only the largest places are looked at."""
Indices = NDArray[np.int32] | NDArray[np.intp]
USUAL_NAME, USUAL_LATER_WORD = -1, -2
"""Instead of a key's other spelling, where it is of the usual name."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A place that has a name.

    Attributes
    ----------
    name : str
        Its usual name.
    matched : str or None
        The other name that it was found under.
    country, region : str or None
        Code of the country (ISO 3166-1), and name of the part of the country where it is known.
    latitude, longitude : float
        Of its middle (degrees, WGS 84).
    population : int
        Inhabitants.
    distance_km : float or None
        From the point asked about to its middle.
    """

    name: str
    matched: str | None
    country: str
    region: str | None
    latitude: float
    longitude: float
    population: int
    distance_km: float | None


class Places:
    """Places of a folder.

    Parameters
    ----------
    folder
        With the files of `service.places.make`.
    """

    def __init__(self, folder: Path = DATA) -> None:
        def column(name: str) -> NDArray[np.int32]:
            array: NDArray[np.int32] = np.load(folder / f"{name}.npy", mmap_mode="r")
            return array

        self.latitude, self.longitude = column("latitude"), column("longitude")
        self.population, self.label_zoom = column("population"), column("label_zoom")
        self.capital = column("capital")
        self._country, self._region = column("country"), column("region")
        self._key_place, self._key_spelling = column("key_place"), column("key_spelling")
        self.names = TextList(folder, "names")
        self._keys, self._spellings = TextList(folder, "keys"), TextList(folder, "spellings")
        labels = json.loads((folder / "labels.json").read_text())
        self._countries: list[list[str]] = labels["countries"]
        self._regions: list[list[str]] = labels["regions"]

    def __len__(self) -> int:
        return len(self.latitude)

    def search(self, text: str, *, near: tuple[float, float] | None = None, limit: int = 8) -> list[Place]:
        """Return the places whose names begin with a text, best first.

        Parameters
        ----------
        text
            A name, or its beginning, in any spelling. A country or region, or its beginning, may follow a comma, or be
            the last word.
        near
            Latitude and longitude (degrees) that near places are preferred to.
        limit
            Most places.
        """
        name, _, within = text.partition(",")
        folded = fold(name)
        before, _, last_word = folded.rpartition(" ")
        for wanted, where in (
            (folded, fold(within)),
            (without_umlaut_letters(folded), fold(within)),
            (before, last_word),
        ):
            if wanted and (found := self._find(wanted, where, near, limit)):
                return found
        return []

    def nearest(self, lat: float, lon: float, limit: int = 1) -> list[Place]:
        """Return the places that a point is in or near to, best first: the edge of a large town may be nearest."""
        south, north = (int((lat + side * NEAR_KM / KM_PER_DEGREE) / UNIT) for side in (-1, 1))
        candidates = np.flatnonzero((self.latitude > south) & (self.latitude < north))
        distances = self._distances_km(candidates, lat, lon)
        candidates, distances = candidates[distances < NEAR_KM], distances[distances < NEAR_KM]
        reach = np.sqrt(self.population[candidates] / (np.pi * INHABITANTS_PER_KM2))
        beyond = np.maximum(distances - reach, 0.0).round(
            1
        )  # kilometres outside of a place; of several it is in, the largest
        return [self._place(int(candidates[each]), (lat, lon)) for each in np.lexsort((candidates, beyond))[:limit]]

    def _find(self, wanted: str, within: str, near: tuple[float, float] | None, limit: int) -> list[Place]:
        """Return the places with a key that begins with a folded name."""
        first, last = self._keys.with_prefix(wanted)
        after_exact, _ = self._keys.with_prefix(wanted + "\0")
        keys, places = np.arange(first, last), self._key_place[first:last]
        kept = places < (LARGEST if len(keys) > MANY_KEYS else len(self))
        if within:
            kept &= self._is_within(places, within)
        keys, places = keys[kept], places[kept]
        spellings = self._key_spelling[keys]
        score = np.log10(self.population[places] + 1000.0)
        score += (
            EXACT * (keys < after_exact) + OTHER_NAME * (spellings >= 0) + LATER_WORD * (spellings == USUAL_LATER_WORD)
        )
        if near is not None:
            score -= 2 * np.log10(1 + self._distances_km(places, *near) / HALFWAY_KM)
        found: dict[int, int] = {}
        for each in np.lexsort((-spellings, places, -score)):  # of a place's keys that of its usual name
            found.setdefault(int(places[each]), int(spellings[each]))
            if len(found) == limit:
                break
        return [self._place(place, near, spelling) for place, spelling in found.items()]

    def _is_within(self, places: NDArray[np.int32], text: str) -> NDArray[np.bool_]:
        """Return which places are in a country or region whose code or name begins with a folded text."""
        countries, regions = (
            [index for index, names in enumerate(labels) if any(fold(name).startswith(text) for name in names)]
            for labels in (self._countries, self._regions)
        )
        return np.isin(self._country[places], countries) | np.isin(self._region[places], regions)

    def _distances_km(self, places: Indices, lat: float, lon: float) -> NDArray[np.float64]:
        """Return the distances of places from a point, on a sphere (haversine)."""
        there = np.radians([self.latitude[places] * UNIT, self.longitude[places] * UNIT])
        here = np.radians([lat, lon])
        half = np.sin((there[0] - here[0]) / 2) ** 2
        half += np.cos(there[0]) * np.cos(here[0]) * np.sin((there[1] - here[1]) / 2) ** 2
        kilometres: NDArray[np.float64] = 2 * EARTH_KM * np.arcsin(np.sqrt(half))
        return kilometres

    def _place(self, index: int, near: tuple[float, float] | None, spelling: int = USUAL_NAME) -> Place:
        return Place(
            name=self.names.text(index),
            matched=self._spellings.text(spelling) if spelling >= 0 else None,
            country=self._countries[self._country[index]][0],
            region=self._regions[self._region[index]][-1] or None,
            latitude=round(int(self.latitude[index]) * UNIT, 5),
            longitude=round(int(self.longitude[index]) * UNIT, 5),
            population=int(self.population[index]),
            distance_km=None if near is None else round(float(self._distances_km(np.array([index]), *near)[0]), 1),
        )


@cache
def shipped_places() -> Places:
    """Return the places that come with the package, opened once in a process."""
    return Places()
