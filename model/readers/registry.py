"""The table of formats. To add one: write its file (`matches`, `read_frames`) and add a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from model.readers import cf, fmi, geotiff, grib, hdf5, hko7, knmi, meteonet, npz, odim, radolan
from model.readers.source import Matches, ReadFrames, Source, head_of, reading
from model.readers.unknown import unknown


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A format: what people call it, how to know it by content, and how to read it."""

    title: str
    matches: Matches
    read_frames: ReadFrames


READERS: Final[tuple[Reader, ...]] = (
    Reader(title="KNMI HDF5", matches=knmi.matches, read_frames=knmi.read_frames),
    Reader(title="ODIM_H5", matches=odim.matches, read_frames=odim.read_frames),
    Reader(title="CF netCDF", matches=cf.matches, read_frames=cf.read_frames),  # after the other HDF5 formats
    Reader(title="FMI PGM", matches=fmi.matches, read_frames=fmi.read_frames),
    Reader(title="GRIB2", matches=grib.matches, read_frames=grib.read_frames),
    Reader(title="GeoTIFF", matches=geotiff.matches, read_frames=geotiff.read_frames),
    Reader(title="RADOLAN", matches=radolan.matches, read_frames=radolan.read_frames),
    Reader(title="HKO-7 PNG", matches=hko7.matches, read_frames=hko7.read_frames),
    Reader(title="MeteoNet npz", matches=meteonet.matches, read_frames=meteonet.read_frames),
    Reader(title="NumPy npz", matches=npz.matches, read_frames=npz.read_frames),  # after HKO-7's mask and MeteoNet
)


def reader_of(source: Source) -> Reader:
    """The reader of a file, by content.

    Raises
    ------
    NotARadarFile
        Absent, a folder, empty, damaged, or of no known format.
    """
    head = head_of(source)
    if head.startswith(hdf5.MAGIC):
        with reading(source, "HDF5"):
            hdf5.check_self_contained(source.path)
    for reader in READERS:
        with reading(source, reader.title):
            if reader.matches(head, source.path):
                return reader
    with reading(source, "a radar file"):
        raise unknown(head, ", ".join(reader.title for reader in READERS))
