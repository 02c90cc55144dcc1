"""Radar files that mean harm: a corpus that a seed determines, made from one small frame in each format.

`hostile_files(seed)` yields damaged files (bits flipped, cut, extended, spliced) of every format, compressed ones too,
and files that are well-formed but declare or hold what no radar product does.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import h5py
import netCDF4
import numpy as np
from PIL import Image
from pyproj import CRS, Transformer

SIZE: Final = (48, 64)
DAMAGED_OF_EACH: Final = 22
"""Damaged files of each format."""
STEREO: Final = "+proj=stere +lat_0=90 +lon_0=0 +lat_ts=60 +a=6378.137 +b=6356.752 +x_0=0 +y_0=0"
LAEA: Final = "+proj=laea +lat_0=55 +lon_0=10 +x_0=1950000 +y_0=-2100000 +units=m +ellps=WGS84"


class HostileFile(NamedTuple):
    """A file of the corpus: what was done to it, the name that its user gives, and what makes its content."""

    kind: str
    name: str
    make: Callable[[], bytes]


def hostile_files(seed: int = 0) -> Iterator[HostileFile]:
    """Yield the corpus, the same for the same seed; formats whose writer is not installed are left out."""
    for index, (name, content) in enumerate(good_files().items()):
        for number in range(DAMAGED_OF_EACH):
            kind = DAMAGES[number % len(DAMAGES)]
            yield HostileFile(f"{name}: {kind}", name, partial(_damaged, content, kind, [seed, index, number]))
        for number, (suffix, compress) in enumerate((("gz", gzip.compress), ("bz2", bz2.compress))):
            kind, packed = DAMAGES[(index + number) % len(DAMAGES)], compress(content)
            named = f"{name}.{suffix}"
            yield HostileFile(f"{named}: {kind}", named, partial(_damaged, packed, kind, [seed, index, number, 1]))
    yield from _bombs()
    for change in NETCDF_CHANGES:
        yield HostileFile(f"netCDF: {change.__name__.strip('_')}", "hostile.nc", partial(netcdf, change))
    for change in ODIM_CHANGES:
        yield HostileFile(f"ODIM: {change.__name__.strip('_')}", "hostile.h5", partial(odim, change))
    yield from _arrays()
    yield from _no_radar_files()


DAMAGES: Final = ("bits flipped", "bits of the head flipped", "cut", "ones in the head", "zeros inside", "spliced")


def _damaged(content: bytes, kind: str, seed: list[int]) -> bytes:
    random = np.random.default_rng(seed)
    data = bytearray(content)
    head = min(len(data), 2048)
    match kind:
        case "bits flipped":
            for at in random.integers(0, len(data), 8):
                data[at] ^= 1 << int(random.integers(8))
        case "bits of the head flipped":
            for at in random.integers(0, head, 4):
                data[at] ^= 1 << int(random.integers(8))
        case "cut":
            del data[int(random.integers(1, len(data))) :]
        case "ones in the head":
            at, length = int(random.integers(0, head)), int(random.integers(1, 64))
            data[at : at + length] = b"\xff" * length
        case "zeros inside":
            at, length = int(random.integers(0, len(data))), int(random.integers(1, len(data)))
            data[at : at + length] = bytes(length)
        case _:
            first, last = sorted(int(at) for at in random.integers(0, len(data), 2))
            data = data[:last] + data[first:]
    return bytes(data)


def good_files() -> dict[str, bytes]:
    """Return one readable frame in each format, by file name."""
    rain = np.clip(np.add.outer(np.arange(SIZE[0]), np.arange(SIZE[1])) % 40, 0, 30).astype(np.uint8)
    files = {
        "frame.nc": netcdf(),
        "classic.nc": netcdf(file_format="NETCDF3_CLASSIC"),
        "odim.h5": odim(),
        "knmi.h5": _knmi(rain),
        "frame.npz": npz(rain_rate=rain[np.newaxis].astype(np.float32), times=np.array(["2024-06-01T12:00:00"])),
        "fmi.pgm": _pgm(rain),
        "raa01-rw_10000-2406010550-dwd---bin": _radolan(),
        "RAD240601120000.png": _png((480, 480)),
        "RAD240601120000.mask": zlib.compress(np.ones((480, 480), np.bool_).tobytes()),
    }
    for name, script in (("frame.grib2", GRIB_WRITER), ("202406011200_frame.tif", GEOTIFF_WRITER)):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, name)
            done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, check=False)
            if done.returncode == 0:
                files[name] = path.read_bytes()
    return files


def netcdf(change: Callable[[netCDF4.Dataset], None] | None = None, file_format: str = "NETCDF4") -> bytes:
    """Return a CF-netCDF file of one frame, after a change."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.nc")
        with netCDF4.Dataset(path, "w", format=file_format) as file:
            for name, length in zip(("time", "y", "x"), (1, *SIZE), strict=True):
                file.createDimension(name, length)
            for name in "yx":
                axis = file.createVariable(name, "f8", (name,))
                axis.setncatts({"units": "m", "standard_name": f"projection_{name}_coordinate"})
                axis[:] = np.arange(SIZE["yx".index(name)]) * 1000.0
            time = file.createVariable("time", "f8", ("time",))
            time.setncatts({"units": "minutes since 2024-06-01 12:00", "standard_name": "time"})
            time[:] = 0
            file.createVariable("crs", "i4", ()).setncatts(CRS.from_epsg(3035).to_cf())
            rain = file.createVariable("rain_rate", "f4", ("time", "y", "x"))
            rain.setncatts({"units": "mm h-1", "standard_name": "rainfall_rate", "grid_mapping": "crs"})
            rain[:] = 1.0
            if change is not None:
                change(file)
        return path.read_bytes()


def _replace_rain(file: netCDF4.Dataset, shape: tuple[int, ...], kind: str = "f4", **storage: Any) -> None:
    """Rename the rain away, and declare one of another shape, of which nothing is written."""
    file.renameVariable("rain_rate", "other")
    file["other"].setncatts({"units": "K", "standard_name": "air_temperature"})
    names = [f"d{index}" for index in range(len(shape))]
    for name, length in zip(names, shape, strict=True):
        file.createDimension(name, length)
    for axis, name, length in zip("yx", names[-2:], shape[-2:], strict=True):
        coordinate = file.createVariable(name, "f8", (name,), chunksizes=(min(length, 1024),), zlib=True)
        coordinate.setncatts({"units": "m", "standard_name": f"projection_{axis}_coordinate"})
        if length <= 100_000:
            coordinate[:] = np.arange(length) * 1000.0
    rain = file.createVariable("rain_rate", kind, names, **storage)
    rain.setncatts({"units": "mm h-1", "standard_name": "rainfall_rate", "grid_mapping": "crs", "coordinates": "time"})


def _chunks_of_one_pixel(file: netCDF4.Dataset) -> None:
    _replace_rain(file, (3000, 3000), chunksizes=(1, 1))


def _chunks_of_one_pixel_compressed(file: netCDF4.Dataset) -> None:
    _replace_rain(file, (3000, 3000), chunksizes=(1, 1), zlib=True, shuffle=True)


def _fill_value_alone(file: netCDF4.Dataset) -> None:
    _replace_rain(file, (13_000, 14_000), chunksizes=(1000, 1000), zlib=True)


def _fill_value_of_doubles(file: netCDF4.Dataset) -> None:
    _replace_rain(file, (10_000, 10_000), "f8", chunksizes=(1000, 1000), fill_value=0.0)


def _a_billion_by_a_billion(file: netCDF4.Dataset) -> None:
    _replace_rain(file, (10**9, 10**9), chunksizes=(1000, 1000), zlib=True)


def _a_chunk_of_gigabytes(file: netCDF4.Dataset) -> None:
    _replace_rain(file, (20_000, 20_000), chunksizes=(20_000, 20_000), zlib=True)


def _bands(file: netCDF4.Dataset) -> None:
    _replace_rain(file, (200, 48, 64))


def _an_attribute_of_20_mb(file: netCDF4.Dataset) -> None:
    file.setncattr("title", "x" * 20_000_000)


def _a_unit_of_20_mb(file: netCDF4.Dataset) -> None:
    file["rain_rate"].units = "mm h-1 " * 3_000_000


def _a_time_unit_of_5_mb(file: netCDF4.Dataset) -> None:
    file["time"].units = "minutes since " + "1" * 5_000_000


def _ten_thousand_attributes(file: netCDF4.Dataset) -> None:
    file["rain_rate"].setncatts({f"a{number}": "x" * 100 for number in range(10_000)})
    file["rain_rate"].units = "K"


def _many_variables(file: netCDF4.Dataset) -> None:
    for number in range(1500):
        file.createVariable(f"rain_{number}", "f4", ("y", "x")).units = "mm h-1"


def _deep_groups(file: netCDF4.Dataset) -> None:
    file.renameVariable("rain_rate", "nothing")
    group = file
    for _ in range(300):
        group = group.createGroup("g")


def _vertical_crs(file: netCDF4.Dataset) -> None:
    file["crs"].setncatts({"crs_wkt": CRS.from_epsg(5773).to_wkt()})


def _engineering_crs(file: netCDF4.Dataset) -> None:
    file["crs"].crs_wkt = 'ENGCRS["x",EDATUM["y"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],LENGTHUNIT["metre",1]]'


def _a_crs_of_mars(file: netCDF4.Dataset) -> None:
    file["crs"].crs_wkt = CRS.from_proj4("+proj=laea +lat_0=0 +lon_0=0 +a=3396190 +b=3376200").to_wkt()
    file["x"][:] = np.arange(SIZE[1]) * 1e9


def _a_crs_of_5_mb(file: netCDF4.Dataset) -> None:
    file["crs"].crs_wkt = 'PROJCRS["' + "(" * 5_000_000


def _a_nested_crs(file: netCDF4.Dataset) -> None:
    file["crs"].crs_wkt = "COMPOUNDCRS[" * 50_000


def _a_pipeline_as_crs(file: netCDF4.Dataset) -> None:
    file["crs"].crs_wkt = "+proj=pipeline +step +proj=hgridshift +grids=/etc/passwd"


def _an_ellipsoid_of_nothing(file: netCDF4.Dataset) -> None:
    for name in file["crs"].ncattrs():
        file["crs"].delncattr(name)
    mapping = {"grid_mapping_name": "albers_conical_equal_area", "semi_major_axis": 0.0, "inverse_flattening": np.nan}
    file["crs"].setncatts({**mapping, "standard_parallel": [-90.0, 90.0]})


def _times_of_another_age(file: netCDF4.Dataset) -> None:
    file["time"][:] = 1e300


def _times_before_all_ages(file: netCDF4.Dataset) -> None:
    file["time"].units = "days since -4712-01-01 00:00"
    file["time"][:] = -1e9


def _a_time_of_nan(file: netCDF4.Dataset) -> None:
    file["time"][:] = np.nan


def _a_calendar_of_its_own(file: netCDF4.Dataset) -> None:
    file["time"].calendar = "360_day"
    file["time"].units = "months since 2024-02-30"


def _a_time_of_tomorrow(file: netCDF4.Dataset) -> None:
    file["time"].units = "days since 2190-01-01"


def _a_scale_of_nan(file: netCDF4.Dataset) -> None:
    file["rain_rate"].scale_factor = np.nan


def _a_scale_of_text(file: netCDF4.Dataset) -> None:
    file["rain_rate"].scale_factor = "large"


def _a_range_of_text(file: netCDF4.Dataset) -> None:
    file["rain_rate"].setncatts({"valid_range": "large", "missing_value": np.arange(1_000_000)})


def _infinite_rain(file: netCDF4.Dataset) -> None:
    file["rain_rate"][:] = np.random.default_rng(1).uniform(1e5, 1e30, (1, *SIZE))


def _coordinates_of_nan(file: netCDF4.Dataset) -> None:
    file["x"][:] = np.nan


def _coordinates_of_text(file: netCDF4.Dataset) -> None:
    file.renameVariable("x", "old")
    file.createVariable("x", str, ("x",))[:] = np.array(["x"] * SIZE[1], object)


def _coordinates_in_one_place(file: netCDF4.Dataset) -> None:
    file["y"][:] = 5.0


def _rain_of_text(file: netCDF4.Dataset) -> None:
    _replace_rain(file, SIZE, "S1")


def _rain_of_compounds(file: netCDF4.Dataset) -> None:
    file.renameVariable("rain_rate", "old")
    file["old"].units = "K"
    kind = file.createCompoundType(np.dtype([("a", "f4"), ("b", "f4")]), "pair")
    file.createVariable("rain_rate", kind, ("y", "x")).units = "mm h-1"


def _rain_of_lists(file: netCDF4.Dataset) -> None:
    file.renameVariable("rain_rate", "old")
    file["old"].units = "K"
    file.createVariable("rain_rate", file.createVLType(np.float32, "list"), ("y", "x")).units = "mm h-1"


def _names_with_controls(file: netCDF4.Dataset) -> None:
    file.renameVariable("rain_rate", "rain\N{RIGHT-TO-LEFT OVERRIDE}\N{BELL}")
    file["rain\N{RIGHT-TO-LEFT OVERRIDE}\N{BELL}"].units = "\N{BELL}" * 50


NETCDF_CHANGES: Final[tuple[Callable[[netCDF4.Dataset], None], ...]] = (
    *(_chunks_of_one_pixel, _chunks_of_one_pixel_compressed, _fill_value_alone, _fill_value_of_doubles),
    *(_a_billion_by_a_billion, _a_chunk_of_gigabytes, _bands, _an_attribute_of_20_mb, _a_unit_of_20_mb),
    *(_a_time_unit_of_5_mb, _ten_thousand_attributes, _many_variables, _deep_groups, _vertical_crs),
    *(_engineering_crs, _a_crs_of_mars, _a_crs_of_5_mb, _a_nested_crs, _a_pipeline_as_crs, _an_ellipsoid_of_nothing),
    *(_times_of_another_age, _times_before_all_ages, _a_time_of_nan, _a_calendar_of_its_own, _a_time_of_tomorrow),
    *(_a_scale_of_nan, _a_scale_of_text, _a_range_of_text, _infinite_rain, _coordinates_of_nan, _coordinates_of_text),
    *(_coordinates_in_one_place, _rain_of_text, _rain_of_compounds, _rain_of_lists, _names_with_controls),
)


def odim(change: Callable[[h5py.File], None] | None = None) -> bytes:
    """Return an ODIM_H5 composite, after a change."""
    crs = CRS.from_proj4(LAEA)
    ny, nx = SIZE
    to_lon_lat = Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    corners = {"LL": (0, -ny), "UL": (0, 0), "UR": (nx, 0), "LR": (nx, -ny)}
    places = {}
    for name, (x, y) in corners.items():
        places[f"{name}_lon"], places[f"{name}_lat"] = to_lon_lat.transform(x * 2000.0, y * 2000.0)
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        file.attrs["Conventions"] = np.bytes_("ODIM_H5/V2_2")
        what = {"object": "COMP", "date": "20240601", "time": "120000", "source": "ORG:1"}
        file.create_group("what").attrs.update({name: np.bytes_(text) for name, text in what.items()})
        size = {"xsize": nx, "ysize": ny, "xscale": 2000.0, "yscale": 2000.0, "projdef": np.bytes_(LAEA)}
        file.create_group("where").attrs.update({**size, **places})
        file["dataset1/data1/data"] = np.tile(np.arange(nx, dtype=np.uint8), (ny, 1))
        quantity = {"quantity": np.bytes_("DBZH"), "gain": 0.5, "offset": -32.0, "nodata": 255.0, "undetect": 0.0}
        file.create_group("dataset1/what").attrs.update(quantity)
        if change is not None:
            change(file)
    return memory.getvalue()


def _declare(file: h5py.File, shape: tuple[int, ...], kind: str = "u1", **storage: Any) -> None:
    del file["dataset1/data1/data"]
    file.create_dataset("dataset1/data1/data", shape, kind, **storage)


def _odim_chunks_of_one_pixel(file: h5py.File) -> None:
    _declare(file, (4000, 4000), chunks=(1, 1))


def _odim_fill_value(file: h5py.File) -> None:
    _declare(file, (14_000, 14_000), "f8", chunks=(1000, 1000), fillvalue=1.0)


def _odim_fill_value_without_chunks(file: h5py.File) -> None:
    _declare(file, (14_000, 14_000), "f8")


def _odim_a_billion_by_a_billion(file: h5py.File) -> None:
    _declare(file, (10**9, 10**9), chunks=(100, 100))


def _odim_three_dimensions(file: h5py.File) -> None:
    _declare(file, (2, 2, 2))


def _odim_no_dimension(file: h5py.File) -> None:
    _declare(file, ())


def _odim_no_pixels(file: h5py.File) -> None:
    _declare(file, (0, 64))


def _odim_text(file: h5py.File) -> None:
    _declare(file, SIZE, "S10")


def _odim_references(file: h5py.File) -> None:
    del file["dataset1/data1/data"]
    file.create_dataset("dataset1/data1/data", SIZE, h5py.ref_dtype)


def _odim_compound(file: h5py.File) -> None:
    _declare(file, SIZE, "i4,f8")


def _odim_complex(file: h5py.File) -> None:
    _declare(file, SIZE, "c16")


def _odim_external_link(file: h5py.File) -> None:
    del file["dataset1/data1/data"]
    file["dataset1/data1/data"] = h5py.ExternalLink("/etc/passwd", "/data")


def _odim_soft_link_to_an_external_one(file: h5py.File) -> None:
    del file["dataset1/data1/data"]
    file["out"] = h5py.ExternalLink("/proc/self/environ", "/")
    file["dataset1/data1/data"] = h5py.SoftLink("/out/data")


def _odim_external_storage(file: h5py.File) -> None:
    _declare(file, SIZE, external=[("/etc/passwd", 0, SIZE[0] * SIZE[1])])


def _odim_virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(SIZE, "u1")
    layout[:] = h5py.VirtualSource("/etc/passwd", "data", SIZE)
    del file["dataset1/data1/data"]
    file.create_virtual_dataset("dataset1/data1/data", layout)


def _odim_link_to_itself(file: h5py.File) -> None:
    del file["dataset1/data1/data"]
    file["dataset1/data1/data"] = h5py.SoftLink("/dataset1/data1/data")


def _odim_cycle(file: h5py.File) -> None:
    file["dataset1/data1/again"] = file["/"]
    del file["dataset1/what"].attrs["quantity"]


def _odim_many_groups(file: h5py.File) -> None:
    for number in range(2, 3000):
        file.create_group(f"dataset{number}/data1/what").attrs["quantity"] = np.bytes_("DBZH")


def _odim_a_long_number(file: h5py.File) -> None:
    file["dataset" + "9" * 5000] = file["dataset1"]
    file["dataset1/data" + "9" * 5000] = file["dataset1/data1"]


def _odim_attributes_of_20_mb(file: h5py.File) -> None:
    file["what"].attrs["source"] = np.bytes_(b"x" * 60_000)
    _dense(file["where"], "projdef", np.bytes_(b"+proj=laea " * 2_000_000))


def _dense(node: h5py.Group, name: str, value: Any) -> None:
    """Attributes beyond 64 kB need storage outside of the object's header, which the newest file format has."""
    try:
        node.attrs[name] = value
    except (OSError, RuntimeError):
        node.attrs[name] = np.bytes_(value[:60_000])


def _odim_a_gain_of_nan(file: h5py.File) -> None:
    file["dataset1/what"].attrs["gain"] = np.nan


def _odim_a_gain_of_text(file: h5py.File) -> None:
    file["dataset1/what"].attrs["gain"] = np.bytes_("big")


def _odim_an_offset_beyond_all(file: h5py.File) -> None:
    file["dataset1/what"].attrs["offset"] = 1e308


def _odim_a_date_of_nonsense(file: h5py.File) -> None:
    file["what"].attrs["date"] = np.bytes_("99999999")


def _odim_a_date_of_numbers(file: h5py.File) -> None:
    file["what"].attrs["date"] = np.arange(1000)


def _odim_corners_of_nan(file: h5py.File) -> None:
    for name in file["where"].attrs:
        if name.endswith(("_lon", "_lat")):
            file["where"].attrs[name] = np.nan


def _odim_corners_beyond_the_earth(file: h5py.File) -> None:
    for name in file["where"].attrs:
        if name.endswith(("_lon", "_lat")):
            file["where"].attrs[name] = 1e300


def _odim_a_grid_of_its_own(file: h5py.File) -> None:
    file["where"].attrs["xsize"] = 2**63 - 1


def _odim_a_vertical_projection(file: h5py.File) -> None:
    file["where"].attrs["projdef"] = np.bytes_("EPSG:5773")


def _odim_a_file_as_projection(file: h5py.File) -> None:
    file["where"].attrs["projdef"] = np.bytes_("+init=/etc/passwd:root")


def _odim_a_grid_shift_file(file: h5py.File) -> None:
    file["where"].attrs["projdef"] = np.bytes_("+proj=utm +zone=33 +nadgrids=@/etc/passwd,/dev/zero")


def _odim_a_projection_of_nothing(file: h5py.File) -> None:
    file["where"].attrs["projdef"] = np.bytes_("+proj=laea +lat_0=1e400 +R=-1")


ODIM_CHANGES: Final[tuple[Callable[[h5py.File], None], ...]] = (
    *(_odim_chunks_of_one_pixel, _odim_fill_value, _odim_fill_value_without_chunks, _odim_a_billion_by_a_billion),
    *(_odim_three_dimensions, _odim_no_dimension, _odim_no_pixels, _odim_text, _odim_references, _odim_compound),
    *(_odim_complex, _odim_external_link, _odim_soft_link_to_an_external_one, _odim_external_storage, _odim_virtual),
    *(_odim_link_to_itself, _odim_cycle, _odim_many_groups, _odim_a_long_number, _odim_attributes_of_20_mb),
    *(_odim_a_gain_of_nan, _odim_a_gain_of_text, _odim_an_offset_beyond_all, _odim_a_date_of_nonsense),
    *(_odim_a_date_of_numbers, _odim_corners_of_nan, _odim_corners_beyond_the_earth, _odim_a_grid_of_its_own),
    *(_odim_a_vertical_projection, _odim_a_file_as_projection, _odim_a_grid_shift_file, _odim_a_projection_of_nothing),
)


def npz(**arrays: Any) -> bytes:
    """Return an .npz of the arrays."""
    memory = io.BytesIO()
    np.savez_compressed(memory, **arrays)
    return memory.getvalue()


def _declared_npy(shape: tuple[int, ...], kind: str = "<f4", content: bytes = b"") -> bytes:
    """Return a .npy whose header declares a shape, followed by any content."""
    header = repr({"descr": kind, "fortran_order": False, "shape": shape}).encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content


def _zip(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return memory.getvalue()


def _arrays() -> Iterator[HostileFile]:
    """Yield .npz archives of impossible arrays."""
    frame, time = np.ones((1, 8, 8), np.float32), np.array(["2024-06-01T12:00:00"])
    declared = {
        "a billion by a billion": _declared_npy((1, 10**9, 10**9)),
        "400 million pixels": _declared_npy((1, 20_000, 20_000), content=bytes(1000)),
        "negative": _declared_npy((1, -8, 8)),
        "an object": _declared_npy((1, 8, 8), "|O", b"cos\nsystem\n(S'true'\ntR."),
        "a structure": _declared_npy((1, 8, 8), "<f4,<f4"),
        "not a type": _declared_npy((1, 8, 8), "nonsense"),
        "a deep header": b"\x93NUMPY\x01\x00" + (20_000).to_bytes(2, "little") + b"(" * 20_000,
        "a long header": b"\x93NUMPY\x02\x00" + (2**31).to_bytes(4, "little"),
        "not a header": b"\x93NUMPY\x01\x00\x10\x00" + b"__import__('os')",
    }
    stamp = npz(times=time)
    with zipfile.ZipFile(io.BytesIO(stamp)) as archive:
        times = archive.read("times.npy")
    for kind, content in declared.items():
        members = {"rain_rate.npy": content, "times.npy": times}
        yield HostileFile(f"npz: {kind}", "hostile.npz", partial(_zip, members))
    arrays: dict[str, dict[str, Any]] = {
        "infinite rain": {"rain_rate": np.full((1, 8, 8), np.inf, np.float32), "times": time, "x": [1.0]},
        "times of NaT": {"rain_rate": frame, "times": np.array(["NaT"], "datetime64[s]")},
        "times of text": {"rain_rate": frame, "times": np.array(["noon"])},
        "wild times": {"rain_rate": frame, "times": np.array([2**62], "datetime64[s]")},
        "times of the year 9999": {"rain_rate": frame, "times": np.array(["9999-12-31T23:59:59"])},
        "more times": {"rain_rate": frame, "times": np.repeat(time, 1000)},
        "a vertical CRS": {"rain_rate": frame, "times": time, "x": range(8), "y": range(8), "crs": "EPSG:5773"},
        "a CRS of 10 MB": {"rain_rate": frame, "times": time, "x": range(8), "y": range(8), "crs": "(" * 2_500_000},
        "a CRS of a file": {"rain_rate": frame, "times": time, "x": range(8), "y": range(8), "crs": "/etc/passwd"},
        "coordinates of NaN": {"rain_rate": frame, "times": time, "x": [np.nan] * 8, "y": range(8), "crs": "EPSG:3035"},
        "coordinates of text": {"rain_rate": frame, "times": time, "x": ["a"] * 8, "y": range(8), "crs": "EPSG:3035"},
        "one pixel": {"rain_rate": frame[:, :1, :1], "times": time},
        "rain of text": {"rain_rate": np.array([[["a"]]]), "times": time},
        "rain of booleans": {"rain_rate": np.ones((1, 8, 8), np.bool_), "times": time},
        "complex rain": {"rain_rate": np.ones((1, 8, 8), complex), "times": time},
        "four dimensions": {"rain_rate": np.ones((1, 1, 8, 8), np.float32), "times": time},
        "nothing": {"nothing": frame},
    }
    for kind, content in arrays.items():
        yield HostileFile(f"npz: {kind}", "hostile.npz", partial(npz, **content))


def _bombs() -> Iterator[HostileFile]:
    """Yield small files that decompress to large ones."""
    text = b"P5\n# obstime 202406011200\n# param CorrectedReflectivity\n"
    for kind, name, make in (
        ("gzip of 2.4 GB", "bomb.nc.gz", lambda: gzip.compress(ZEROS) * 24),
        ("bzip2 of 2.4 GB", "bomb.nc.bz2", lambda: bz2.compress(ZEROS) * 24),
        ("zip of 400 MB", "bomb.zip", lambda: _zip({"frame.nc": ZEROS * 4})),
        ("gzip in gzip", "bomb.nc.gz", lambda: gzip.compress(gzip.compress(ZEROS))),
        ("zip of many files", "bomb.zip", lambda: _zip({f"{number}.nc": b"" for number in range(20_000)})),
        ("zip that leads out", "bomb.zip", lambda: _zip({"../../../tmp/x.nc": b"CDF\x01"})),
        ("netCDF head on zeros", "bomb.nc.gz", lambda: gzip.compress(b"CDF\x01" + ZEROS)),
        ("HDF5 head on zeros", "bomb.h5.gz", lambda: gzip.compress(b"\x89HDF\r\n\x1a\n" + ZEROS)),
        ("GRIB head on zeros", "bomb.grib2.gz", lambda: gzip.compress(b"GRIB" + ZEROS)),
        ("PNG of 30000 x 30000", "RAD240601120000.png", lambda: _png((30_000, 30_000), mode="1")),
        ("PNG of 6000 x 6000", "RAD240601120000.png", lambda: _png((6000, 6000))),
        ("mask of 100 MB", "RAD240601120000.mask", lambda: zlib.compress(b"\x01" * 100_000_000)),
        ("PGM of 10^9 x 10^9", "x.pgm", lambda: text + b"1000000000 1000000000\n255\n" + bytes(1000)),
        ("PGM of a long comment", "x.pgm.gz", lambda: gzip.compress(b"P5\n# " + b"x" * 100_000_000)),
    ):
        yield HostileFile(f"bomb: {kind}", name, make)


ZEROS: Final = bytes(100_000_000)


def _no_radar_files() -> Iterator[HostileFile]:
    """Yield files of other kinds, and names that mean harm."""
    frame = netcdf()
    for kind, name, content in (
        ("text", "notes.txt", b"hello\n"),
        ("one byte", "x.nc", b"C"),
        ("zeros", "zeros.nc", bytes(1_000_000)),
        ("a web page", "x.h5", b"<!doctype html><html>404</html>"),
        ("a script", "x.nc", b"#!/bin/sh\nrm -rf /\n"),
        ("a pickle", "x.npz", b"\x80\x04cos\nsystem\n(S'true'\ntR."),
        ("JSON, deep", "x.json", b"[" * 1_000_000),
        (
            "XML that grows",
            "x.xml",
            b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "&c;&c;">]><a>&b;</a>',
        ),
        ("a tar archive", "x.tar", bytes(257) + b"ustar" + bytes(250)),
        ("a name that leads out", "../../etc/passwd", frame),
        ("a long name", "x" * 200 + ".nc", frame),
        ("a name of controls", "x\N{BELL}\N{RIGHT-TO-LEFT OVERRIDE}.nc", frame),
        ("a GRIB of one byte more", "x.grib2", b"GRIB\x00\x00\x00\x02" + (2**63).to_bytes(8, "big")),
        ("a TIFF that points to itself", "x.tif", b"II*\0\x08\x00\x00\x00\x01\x00" + bytes(12) + b"\x08\x00\x00\x00"),
    ):
        yield HostileFile(f"other: {kind}", name, partial(bytes, content))


def _knmi(rain: np.ndarray) -> bytes:
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        file.create_group("overview").attrs.update(
            product_datetime_start=np.bytes_("01-JUN-2024;11:55:00.000"),
            product_datetime_end=np.bytes_("01-JUN-2024;12:00:00.000"),
        )
        file.create_group("geographic").attrs.update(
            {
                **{"geo_number_rows": rain.shape[0], "geo_number_columns": rain.shape[1]},
                **{"geo_dim_pixel": np.bytes_("KM,KM"), "geo_pixel_def": np.bytes_("LU")},
                **{"geo_pixel_size_x": 1.0, "geo_pixel_size_y": -1.0},
                **{"geo_column_offset": 0.0, "geo_row_offset": 3650.0},
            }
        )
        file.create_group("geographic/map_projection").attrs["projection_proj4_params"] = np.bytes_(STEREO)
        image = file.create_group("image1")
        image.attrs["image_geo_parameter"] = np.bytes_("ACCUMULATED_PRECIPITATION_[MM]")
        image["image_data"] = rain.astype(np.uint16)
        file.create_group("image1/calibration").attrs.update(
            calibration_formulas=np.bytes_("GEO=0.01*PV+0.0"),
            calibration_missing_data=65534,
            calibration_out_of_image=65535,
        )
    return memory.getvalue()


def _pgm(pixels: np.ndarray) -> bytes:
    ny, nx = pixels.shape
    crs = CRS.from_proj4("+proj=stere +lat_0=90 +lon_0=25 +lat_ts=60 +R=6371288 +units=m")
    to_lon_lat = Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    left, bottom = to_lon_lat.transform(0, -3_000_000)
    right, top = to_lon_lat.transform(nx * 1000, -3_000_000 + ny * 1000)
    head = (
        "P5\n# obstime 202406011200\n# producttype CAPPI\n# productname LOWEST\n# param CorrectedReflectivity\n"
        "# metersperpixel_x 1000\n# metersperpixel_y 1000\n# projection radar {\n# type stereographic\n"
        "# centrallongitude 25\n# centrallatitude 90\n# truelatitude 60\n"
        f"# bottomleft {left:.6f} {bottom:.6f}\n# topright {right:.6f} {top:.6f}\n# }}\n{nx} {ny}\n255\n"
    )
    return head.encode() + pixels.tobytes()


def _radolan() -> bytes:
    text, pixels = "<asb,boo,ros,hnr>", bytes(900 * 900 * 2)

    def head(size: int) -> bytes:
        tokens = f"BY{size:>7}VS 3SW  P42003HPR E-01INT  60GP 900x 900MF 00000001MS{len(text):>3}{text}"
        return f"RW010550100000624{tokens}".encode() + b"\x03"

    return head(len(head(0)) + len(pixels)) + pixels


def _png(shape: tuple[int, int], mode: str = "L") -> bytes:
    memory = io.BytesIO()
    Image.new(mode, shape, 1).save(memory, "PNG")
    return memory.getvalue()


GRIB_WRITER: Final = """
import sys, eccodes, numpy
handle = eccodes.codes_grib_new_from_samples("regular_ll_sfc_grib2")
keys = {"discipline": 0, "parameterCategory": 1, "parameterNumber": 7, "Ni": 64, "Nj": 48,
    "latitudeOfFirstGridPointInDegrees": 50.0, "latitudeOfLastGridPointInDegrees": 49.53,
    "longitudeOfFirstGridPointInDegrees": 10.0, "longitudeOfLastGridPointInDegrees": 10.63,
    "iDirectionIncrementInDegrees": 0.01, "jDirectionIncrementInDegrees": 0.01,
    "dataDate": 20240601, "dataTime": 1200, "bitsPerValue": 16}
for key, value in keys.items():
    eccodes.codes_set(handle, key, value)
eccodes.codes_set_values(handle, numpy.arange(48 * 64) % 40 / 3600.0)
with open(sys.argv[1], "wb") as file:
    eccodes.codes_write(handle, file)
"""
GEOTIFF_WRITER: Final = """
import sys, numpy, rasterio
from rasterio.transform import Affine
pixels = numpy.tile(numpy.arange(64, dtype="uint8"), (48, 1))
with rasterio.open(sys.argv[1], "w", driver="GTiff", height=48, width=64, count=1, dtype="uint8", crs="EPSG:3067",
        transform=Affine(250, 0, -118331, 0, -250, 7907751), nodata=255, compress="deflate") as image:
    image.write(pixels[numpy.newaxis])
    image.update_tags(TIFFTAG_IMAGEDESCRIPTION="COMP:PPI::DBZH", TIFFTAG_DATETIME="2024:06:01 12:00:00")
    image.scales, image.offsets = [0.5], [-32.0]
"""

if __name__ == "__main__":
    kinds = [file.kind for file in hostile_files()]
    sys.stdout.write(json.dumps(kinds, indent=1) + f"\n{len(kinds)} files\n")
