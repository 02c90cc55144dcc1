"""What fuzzing starts from, and how it changes it: for each reader seeds, files beside them, and a mutation.

Bytes that a checksum or a compression covers are changed inside it, since a change outside would be refused before the
reader sees it.
"""

from __future__ import annotations

import bz2
import gzip
import io
import itertools
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import h5py
import netCDF4
import numpy as np
from pyproj import CRS

from tests.faults.hostile_files import SIZE, good_files, hostile_files, netcdf, npz

MAX_SEED_BYTES: Final = 64 << 10
"""Larger hostile files make fuzzing slow, and are uploaded as they are by `run_hostile_files`."""
HEAD_BYTES: Final = 400
"""Of formats with a header in front of many pixels, what half of the mutations change."""
PNG_HEAD: Final = b"\x89PNG\r\n\x1a\n"
Mutate = Callable[[bytes, int], bytes]
"""Change bytes, up to a length."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """What one reader is fuzzed with.

    `kinds` selects hostile files by how their kind begins; `beside` are files that are read together with the input,
    which has the name `name`.
    """

    name: str
    seeds: Callable[[], Iterator[bytes]]
    kinds: tuple[str, ...] = ()
    beside: Mapping[str, bytes] = field(default_factory=dict)
    head: bool = False


def seeds_of(target: Target) -> list[bytes]:
    """Return good files in the format of a target, and small hostile ones."""
    hostile = (file.make() for file in hostile_files() if file.kind.startswith(target.kinds or ("-",)))
    return [*target.seeds(), *(content for content in hostile if 0 < len(content) <= MAX_SEED_BYTES)]


def mutated(content: bytes, most: int, seed: int, mutate: Mutate, *, head: bool) -> bytes:
    """Change an input of up to `most` bytes: half of the time anywhere, else inside of its container or its header."""
    chance = random.Random(seed)
    if chance.random() < 0.5:
        return mutate(content, most)
    if head:
        return mutate(content[:HEAD_BYTES], HEAD_BYTES) + content[HEAD_BYTES:]
    for is_container, repack in CONTAINERS:
        if is_container(content):
            try:
                return repack(content, chance, mutate)[:most]
            except Exception:  # damaged by an earlier change
                break
    return mutate(content, most)


def _repack_zip(content: bytes, chance: random.Random, mutate: Mutate) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()[:10]}
    name = chance.choice(sorted(members))
    if chance.random() < 0.1:
        members[mutate(name.encode(), 40).decode("utf-8", "replace")] = members[name]
    else:
        members[name] = mutate(members[name], len(members[name]) + 64)
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for member, data in members.items():
            archive.writestr(member or "_", data)
    return memory.getvalue()


def _repack_png(content: bytes, chance: random.Random, mutate: Mutate) -> bytes:
    chunks, at = [], len(PNG_HEAD)
    while at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    number = chance.randrange(len(chunks))
    kind, data = chunks[number]
    if kind == b"IDAT" and chance.random() < 0.5:
        pixels = zlib.decompressobj().decompress(data, 1 << 20)
        data = zlib.compress(mutate(pixels, len(pixels) + 64))
    else:
        data = mutate(data, len(data) + 16)
    chunks[number] = (kind, data)
    return PNG_HEAD + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def _repack_gzip(content: bytes, chance: random.Random, mutate: Mutate) -> bytes:
    inside = gzip.GzipFile(fileobj=io.BytesIO(content)).read(1 << 20)
    return gzip.compress(mutate(inside, len(inside) + 64), 1)


def _repack_bzip2(content: bytes, chance: random.Random, mutate: Mutate) -> bytes:
    inside = bz2.BZ2Decompressor().decompress(content, 1 << 20)
    return bz2.compress(mutate(inside, len(inside) + 64), 1)


def _repack_zlib(content: bytes, chance: random.Random, mutate: Mutate) -> bytes:
    inside = zlib.decompressobj().decompress(content, 1 << 20)
    return zlib.compress(mutate(inside, len(inside) + 64), 1)


def _begins(magic: bytes) -> Callable[[bytes], bool]:
    return lambda content: content.startswith(magic)


CONTAINERS: Final = (
    (_begins(b"PK\x03\x04"), _repack_zip),
    (_begins(PNG_HEAD), _repack_png),
    (_begins(b"\x1f\x8b"), _repack_gzip),
    (_begins(b"BZh"), _repack_bzip2),
    (_begins(b"\x78"), _repack_zlib),
)


def _good(*names: str) -> Callable[[], Iterator[bytes]]:
    def seeds() -> Iterator[bytes]:
        files = good_files()
        yield from (files[name] for name in names if name in files)

    return seeds


def _netcdf4() -> Iterator[bytes]:
    """Yield netCDF-4 in HDF5's oldest layout, whose metadata have no checksums, and as its library writes it."""
    memory = io.BytesIO()
    ny, nx = SIZE
    with h5py.File(memory, "w", libver="earliest") as file:
        for name, values in (("time", np.zeros(1)), ("y", np.arange(ny) * 1000.0), ("x", np.arange(nx) * 1000.0)):
            file[name] = values
            file[name].make_scale(name)
        file["time"].attrs.update(_text(units="minutes since 2024-06-01 12:00", standard_name="time"))
        for name in "yx":
            file[name].attrs.update(_text(units="m", standard_name=f"projection_{name}_coordinate"))
        file["crs"] = np.int32(0)
        mapping = {name: value for name, value in CRS.from_epsg(3035).to_cf().items() if name != "crs_wkt"}
        file["crs"].attrs.update({name: _bytes(value) for name, value in mapping.items()})
        file["rain"] = np.ones((1, ny, nx), np.int16)
        file["rain"].attrs.update(_text(units="mm h-1", standard_name="rainfall_rate", grid_mapping="crs"))
        file["rain"].attrs.update(scale_factor=0.1, add_offset=0.0, _FillValue=np.int16(-1))
        for axis, name in enumerate(("time", "y", "x")):
            file["rain"].dims[axis].attach_scale(file[name])
    yield memory.getvalue()
    yield netcdf()


def _text(**attributes: str) -> dict[str, np.bytes_]:
    return {name: np.bytes_(text) for name, text in attributes.items()}


def _bytes(value: Any) -> Any:
    return np.bytes_(value) if isinstance(value, str) else value


def _netcdf3() -> Iterator[bytes]:
    for kind in ("NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"):
        yield netcdf(file_format=kind)
    yield netcdf(_accumulation, "NETCDF3_CLASSIC")


def _accumulation(file: netCDF4.Dataset) -> None:
    """Make the rain an accumulation with bounds, on longitudes and latitudes that are packed."""
    file.createDimension("bounds", 2)
    file["time"].bounds = "time_bounds"
    file.createVariable("time_bounds", "f8", ("time", "bounds"))[:] = [[-5.0, 0.0]]
    file["rain_rate"].setncatts(
        {"units": "kg m-2", "standard_name": "precipitation_amount", "cell_methods": "time: sum"}
    )
    del file["rain_rate"].grid_mapping
    for name, unit in (("y", "degrees_north"), ("x", "degrees_east")):
        file[name].setncatts({"units": unit, "standard_name": {"y": "latitude", "x": "longitude"}[name]})
        file[name].scale_factor = 1e-5


def _npz() -> Iterator[bytes]:
    time = np.array(["2024-06-01T12:00:00"], "datetime64[s]")
    yield _stored(rain_rate=np.ones((1, 4, 6), np.float32), times=time)
    yield _stored(reflectivity=np.ones((1, 4, 6), np.uint8), times=np.array(["2024-06-01T12:00:00+02:00"]))
    grid = {"x": np.arange(6) * 1000.0, "y": np.arange(4) * 1000.0, "crs": np.array("EPSG:3035")}
    yield npz(rain_rate=np.ones((1, 4, 6), ">f8"), times=time, **grid)


def _stored(**arrays: Any) -> bytes:
    memory = io.BytesIO()
    np.savez(memory, **arrays)
    return memory.getvalue()


def _coordinates() -> bytes:
    return _stored(lats=51.0 - 0.01 * np.arange(4), lons=5.0 + 0.01 * np.arange(6))


def _meteonet() -> Iterator[bytes]:
    dates = np.array([datetime(2016, 8, 21), datetime(2016, 8, 21, 0, 5)], object)  # noqa: DTZ001  (as published)
    data = np.full((2, 4, 6), 3, np.int16)
    yield _stored(data=data, dates=dates)
    yield _stored(data=data, dates=dates.astype("datetime64[s]"))
    yield _coordinates()


def _hko7_masks() -> dict[str, bytes]:
    return {"RAD240601120000.mask": zlib.compress(np.ones((480, 480), np.bool_).tobytes())}


def _hko7() -> Iterator[bytes]:
    yield from _good("RAD240601120000.png", "RAD240601120000.mask")()
    yield _stored(exclude_mask=np.zeros((480, 480), np.uint8))


def _radolan() -> Iterator[bytes]:
    tokens = "VS 3SW  P42003HPR E-02INT   5GP 450x 450MF 00000001MS 17<asb,boo,ros,hnr>"
    for product, width in (("RX", 1), ("RY", 2)):
        pixels, start = bytes(450 * 450 * width), f"{product}010550100000624BY"
        size = len(start) + 7 + len(tokens) + 1 + len(pixels)
        yield f"{start}{size:>7}{tokens}".encode() + b"\x03" + pixels


def _compressed() -> Iterator[bytes]:
    frame = next(_npz())
    small = netcdf(file_format="NETCDF3_CLASSIC")
    yield from (gzip.compress(small), gzip.compress(frame) + gzip.compress(b"more"), bz2.compress(small))
    yield bz2.compress(small[:5000]) + bz2.compress(small[5000:]) + bytes(10)
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        archive.writestr("folder/frame.nc", small)
        archive.writestr("readme.txt", "text")
    yield memory.getvalue()


def _others() -> Iterator[bytes]:
    """Yield first bytes of formats that no reader accepts, and of those that one does."""
    from model.readers.unsupported import OTHERS, POLAR

    for pattern in itertools.chain((row[0] for row in POLAR), (row[0] for row in OTHERS)):
        yield re.sub(rb"[\\^$()?*+|]|\[.*?\]|\{.*?\}", b"", pattern) or b"?"
    yield from (content[:64] for content in good_files().values())


TARGETS: Final = {
    "odim": Target(name="odim.h5", seeds=_good("odim.h5"), kinds=("odim.h5:", "ODIM:")),
    "knmi": Target(name="knmi.h5", seeds=_good("knmi.h5"), kinds=("knmi.h5:",)),
    "netcdf4": Target(name="frame.nc", seeds=_netcdf4, kinds=("frame.nc:", "netCDF:")),
    "netcdf3": Target(name="frame.nc", seeds=_netcdf3, kinds=("classic.nc:",)),
    "fmi": Target(name="fmi.pgm", seeds=_good("fmi.pgm"), kinds=("fmi.pgm:",), head=True),
    "grib": Target(name="frame.grib2", seeds=_good("frame.grib2"), kinds=("frame.grib2:",), head=True),
    "geotiff": Target(
        name="202406011200_frame.tif",
        seeds=_good("202406011200_frame.tif"),
        kinds=("202406011200_frame.tif:", "other: a TIFF"),
    ),
    "radolan": Target(name="raa01-rx_10000-2406010550-dwd---bin", seeds=_radolan, head=True),
    "hko7": Target(name="RAD240601120000.png", seeds=_hko7, kinds=("RAD24",), beside=_hko7_masks()),
    "meteonet": Target(
        name="rainfall_NW_2016_08.3.npz", seeds=_meteonet, beside={"radar_coords_NW.npz": _coordinates()}
    ),
    "npz": Target(name="frame.npz", seeds=_npz, kinds=("frame.npz:", "npz:")),
    "compressed": Target(name="frame.gz", seeds=_compressed, kinds=("classic.nc.gz:", "classic.nc.bz2:")),
    "detection": Target(name="frame.bin", seeds=_others, kinds=("other:",)),
}
"""By the name of a reader. `compressed` is the decompression in front of all, `detection` the choice of the reader."""
