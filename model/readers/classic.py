"""How long a classic netCDF file must be, by its own header: the library reads what is cut off as zeros.

The NetCDF Classic Format Specification (Unidata), CDF-1, CDF-2 and CDF-5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from model.core.errors import NotARadarFile
from model.readers.source import DAMAGED

MAGIC: Final = (b"CDF\x01", b"CDF\x02", b"CDF\x05")
STREAMING: Final = (0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
"""A count of records that is not known: they go on to the end of the file."""
TYPE_BYTES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}
DIMENSIONS, VARIABLES, ATTRIBUTES = 10, 11, 12
CUT_HEADER: Final = "it is cut short: its header does not end"
MAX_ELEMENTS: Final = 200_000
"""Dimensions, attributes and variables of a header; netCDF's own limits are 1,024, 8,192 and 8,192."""


@dataclass(frozen=True, kw_only=True)
class Variable:
    """Where a variable begins, and its bytes: all of it, or one record."""

    begin: int
    size: int
    is_record: bool


def check_length(path: Path) -> None:
    """Hold what the header of a classic netCDF declares against the file's length; other files pass.

    Raises
    ------
    NotARadarFile
        The file is shorter, or its header is damaged.
    """
    there = path.stat().st_size
    with path.open("rb") as file:
        if file.read(4) not in MAGIC:
            return
        file.seek(0)
        declared = _Header(file, there).declared_bytes()
    if there < declared:
        raise NotARadarFile(
            f"it is cut short: its header declares {declared:,} bytes, {there:,} are there", hint=DAMAGED
        )


class _Header:
    """A header, read from its start; only lengths, types and places are kept."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        self._file = file
        self._length = length
        version = self._read(4)[3]
        self._count_bytes = 8 if version == 5 else 4
        self._offset_bytes = 4 if version == 1 else 8
        self._elements = 0

    def declared_bytes(self) -> int:
        """The place after the last value; padding behind it may be absent."""
        records = self._count()
        lengths = [self._dimension() for _ in range(self._list(DIMENSIONS))]
        self._attributes()
        variables = [self._variable(lengths) for _ in range(self._list(VARIABLES))]
        end = max((v.begin + v.size for v in variables if not v.is_record), default=self._file.tell())
        of_records = [variable for variable in variables if variable.is_record]
        if records in STREAMING or records == 0 or not of_records:
            return end
        # A record holds one of each variable, padded to four bytes each; a variable alone is not padded.
        alone = len(of_records) == 1
        record_bytes = sum(v.size if alone else _padded(v.size) for v in of_records)
        last = max(variable.begin + variable.size for variable in of_records)
        return max(end, last + (records - 1) * record_bytes)

    def _dimension(self) -> int:
        self._name()
        return self._count()

    def _attributes(self) -> None:
        for _ in range(self._list(ATTRIBUTES)):
            self._name()
            size = self._type_bytes()
            self._skip(_padded(self._count() * size))

    def _variable(self, lengths: list[int]) -> Variable:
        self._name()
        rank = self._count()
        self._take(rank)
        dimensions = [self._count() for _ in range(rank)]
        self._attributes()
        size = self._type_bytes()
        self._count()  # its own size, which overflows where a variable is large
        begin = self._integer(self._offset_bytes)
        if any(dimension >= len(lengths) for dimension in dimensions):
            raise NotARadarFile("a variable of its header has a dimension that is not there", hint=DAMAGED)
        shape = [lengths[dimension] for dimension in dimensions]
        is_record = bool(shape) and shape[0] == 0  # only the record dimension is of length zero
        return Variable(begin=begin, size=size * math.prod(shape[1:] if is_record else shape), is_record=is_record)

    def _list(self, kind: int) -> int:
        """How many elements follow; an absent list is two zeros."""
        tag, count = self._integer(4), self._count()
        if tag not in (0, kind) or (tag == 0 and count):
            raise NotARadarFile("its header is damaged", hint=DAMAGED)
        self._take(count)
        return count

    def _take(self, elements: int) -> None:
        self._elements += elements
        if self._elements > MAX_ELEMENTS:
            raise NotARadarFile(f"its header declares more than {MAX_ELEMENTS:,} elements", hint=DAMAGED)

    def _name(self) -> None:
        self._skip(_padded(self._count()))

    def _type_bytes(self) -> int:
        kind = self._integer(4)
        if kind not in TYPE_BYTES:
            raise NotARadarFile(f"its header has a value of an unknown type, {kind}", hint=DAMAGED)
        return TYPE_BYTES[kind]

    def _count(self) -> int:
        return self._integer(self._count_bytes)

    def _integer(self, size: int) -> int:
        return int.from_bytes(self._read(size), "big")

    def _read(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            raise NotARadarFile(CUT_HEADER, hint=DAMAGED)
        return data

    def _skip(self, size: int) -> None:
        place = self._file.tell() + size
        if place > self._length:
            raise NotARadarFile(CUT_HEADER, hint=DAMAGED)
        self._file.seek(place)


def _padded(size: int) -> int:
    return -(-size // 4) * 4
