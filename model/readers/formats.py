"""The table of formats. To add a format, write a file with `matches` and `read_frames`, and add a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from model.readers import cf_netcdf, fmi, geotiff, grib, hdf5, hko7, knmi, meteonet, npz, odim, radolan
from model.readers.source import Matches, ReadFrames, Source, input_errors, read_head
from model.readers.unsupported import unsupported_format


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A format: its title, how to detect it by content, and how to read it."""

    title: str
    matches: Matches
    read_frames: ReadFrames


READERS: Final[tuple[Reader, ...]] = (
    Reader(title="KNMI HDF5", matches=knmi.matches, read_frames=knmi.read_frames),
    Reader(title="ODIM_H5", matches=odim.matches, read_frames=odim.read_frames),
    # After the other HDF5 formats: any HDF5 file may be netCDF.
    Reader(title="CF netCDF", matches=cf_netcdf.matches, read_frames=cf_netcdf.read_frames),
    Reader(title="FMI PGM", matches=fmi.matches, read_frames=fmi.read_frames),
    Reader(title="GRIB2", matches=grib.matches, read_frames=grib.read_frames),
    Reader(title="GeoTIFF", matches=geotiff.matches, read_frames=geotiff.read_frames),
    Reader(title="RADOLAN", matches=radolan.matches, read_frames=radolan.read_frames),
    Reader(title="HKO-7 PNG", matches=hko7.matches, read_frames=hko7.read_frames),
    Reader(title="MeteoNet npz", matches=meteonet.matches, read_frames=meteonet.read_frames),
    # After the static mask of HKO-7 and MeteoNet, which are .npz files, too.
    Reader(title="NumPy npz", matches=npz.matches, read_frames=npz.read_frames),
)


def detect_reader(source: Source) -> Reader:
    """Return the reader of a file by its content.

    Raises
    ------
    NotARadarFile
        The file is absent, a folder, empty, damaged or of an unsupported format.
    """
    head = read_head(source)
    if head.startswith(hdf5.MAGIC):
        with input_errors(source, "HDF5"):
            hdf5.check_global_heaps(source.path)
            hdf5.check_self_contained(source.path)
    for reader in READERS:
        with input_errors(source, reader.title):
            if reader.matches(head, source.path):
                return reader
    with input_errors(source, "a radar file"):
        raise unsupported_format(head, ", ".join(reader.title for reader in READERS))
