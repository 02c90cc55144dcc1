"""The length that the header of a classic netCDF (netCDF-3) file declares: the library reads a missing end as zeros.

The NetCDF Classic Format Specification (Unidata), CDF-1, CDF-2 and CDF-5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from model.core.errors import NotARadarFile
from model.readers.limits import FETCH_AGAIN

MAGIC: Final = (b"CDF\x01", b"CDF\x02", b"CDF\x05")
STREAMING: Final = (0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
"""The number of records where it is not known: records then fill the file to its end."""
TYPE_BYTES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}
DIMENSIONS, VARIABLES, ATTRIBUTES = 10, 11, 12
CUT_HEADER: Final = "the file is cut short inside the header"
MAX_ELEMENTS: Final = 200_000
"""Dimensions, attributes and variables of a header together; the limits of netCDF are 1,024, 8,192 and 8,192."""


@dataclass(frozen=True, kw_only=True)
class VariableExtent:
    """First byte of a variable, and its size in bytes: the whole variable, or one record."""

    begin: int
    size: int
    is_record: bool


def check_length(path: Path) -> None:
    """Check the length of a classic netCDF file against its header; files of other formats pass.

    Raises
    ------
    NotARadarFile
        The file is shorter than declared, or the header is damaged.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(4) not in MAGIC:
            return
        file.seek(0)
        declared = _Header(file, size).declared_bytes()
    if size < declared:
        raise NotARadarFile(
            f"the file is cut short: the header declares {declared:,} bytes, the file has {size:,}", hint=FETCH_AGAIN
        )


class _Header:
    """Parser of a header that keeps lengths, types and offsets only."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        self._file = file
        self._length = length
        version = self._read(4)[3]
        self._count_bytes = 8 if version == 5 else 4
        self._offset_bytes = 4 if version == 1 else 8
        self._elements = 0

    def declared_bytes(self) -> int:
        """Return the offset after the last value; the padding behind it may be absent."""
        records = self._count()
        lengths = [self._dimension() for _ in range(self._list(DIMENSIONS))]
        self._attributes()
        variables = [self._variable(lengths) for _ in range(self._list(VARIABLES))]
        end = max((v.begin + v.size for v in variables if not v.is_record), default=self._file.tell())
        record_variables = [variable for variable in variables if variable.is_record]
        if records in STREAMING or records == 0 or not record_variables:
            return end
        # A record holds one slab of each record variable, padded to four bytes; a single record variable is not padded.
        single = len(record_variables) == 1
        record_bytes = sum(v.size if single else _padded(v.size) for v in record_variables)
        last = max(variable.begin + variable.size for variable in record_variables)
        return max(end, last + (records - 1) * record_bytes)

    def _dimension(self) -> int:
        self._name()
        return self._count()

    def _attributes(self) -> None:
        for _ in range(self._list(ATTRIBUTES)):
            self._name()
            size = self._type_bytes()
            self._skip(_padded(self._count() * size))

    def _variable(self, lengths: list[int]) -> VariableExtent:
        self._name()
        rank = self._count()
        self._take(rank)
        dimensions = [self._count() for _ in range(rank)]
        self._attributes()
        size = self._type_bytes()
        self._count()  # vsize, which overflows for large variables
        begin = self._integer(self._offset_bytes)
        if any(dimension >= len(lengths) for dimension in dimensions):
            raise NotARadarFile("a variable in the header has an undefined dimension", hint=FETCH_AGAIN)
        shape = [lengths[dimension] for dimension in dimensions]
        is_record = bool(shape) and shape[0] == 0  # only the record dimension has length zero
        return VariableExtent(
            begin=begin, size=size * math.prod(shape[1:] if is_record else shape), is_record=is_record
        )

    def _list(self, kind: int) -> int:
        """Return the number of elements that follow; an absent list is two zeros."""
        tag, count = self._integer(4), self._count()
        if tag not in (0, kind) or (tag == 0 and count):
            raise NotARadarFile("the header is damaged", hint=FETCH_AGAIN)
        self._take(count)
        return count

    def _take(self, elements: int) -> None:
        self._elements += elements
        if self._elements > MAX_ELEMENTS:
            raise NotARadarFile(f"the header declares more than {MAX_ELEMENTS:,} elements", hint=FETCH_AGAIN)

    def _name(self) -> None:
        self._skip(_padded(self._count()))

    def _type_bytes(self) -> int:
        kind = self._integer(4)
        if kind not in TYPE_BYTES:
            raise NotARadarFile(f"the header has a value of unknown type {kind}", hint=FETCH_AGAIN)
        return TYPE_BYTES[kind]

    def _count(self) -> int:
        return self._integer(self._count_bytes)

    def _integer(self, size: int) -> int:
        return int.from_bytes(self._read(size), "big")

    def _read(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            raise NotARadarFile(CUT_HEADER, hint=FETCH_AGAIN)
        return data

    def _skip(self, size: int) -> None:
        offset = self._file.tell() + size
        if offset > self._length:
            raise NotARadarFile(CUT_HEADER, hint=FETCH_AGAIN)
        self._file.seek(offset)


def _padded(size: int) -> int:
    return -(-size // 4) * 4
