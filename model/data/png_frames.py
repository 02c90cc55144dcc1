"""PNG images as frames: of any size, with pixels that are reflectivity or rain rate on a linear scale."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pyproj import CRS
from pyproj.exceptions import CRSError

from model.core.errors import InputError, NotARadarFile
from model.core.grid import Grid
from model.core.sequence import FrameSequence
from model.core.units import DEFAULT_MAX_DBZ, MAX_VALID_DBZ, FloatArray
from model.core.zr import MARSHALL_PALMER, ZRRelation
from model.data.filename_times import TimePattern
from model.data.png import BadPng, verify_png
from model.readers.limits import FETCH_AGAIN, check_size
from model.readers.no_data import MAX_RAIN_RATE_MM_H, check_max_dbz
from model.readers.npz import LOCAL_CRS, LOCAL_PIXEL_M
from model.readers.rain_rate import describe_reflectivity, rain_rate_of_reflectivity
from model.readers.source import ReadOptions

TITLE: Final = "PNG"
SCALE: Final = re.compile(r"(dbz|mm/h):([^,]+)(?:,([^,]+))?", re.IGNORECASE)
UNIT: Final = {"dbz": "dBZ", "mm/h": "mm/h"}


@dataclass(frozen=True, kw_only=True)
class PixelScale:
    """Scale of pixel values v: `gain` v + `offset`, in dBZ or mm h-1.

    `nodata`: values that mark missing data. `undetect`: values that mark no echo (both terms are ODIM's). `relation`:
    converts reflectivity, capped at `max_dbz`, to rain rate.

    Raises
    ------
    InputError
        The scale is not finite, its gain is 0, or a value marks both missing data and no echo.
    """

    quantity: Literal["dbz", "mm/h"]
    gain: float
    offset: float
    nodata: tuple[int, ...] = ()
    undetect: tuple[int, ...] = ()
    relation: ZRRelation = MARSHALL_PALMER
    max_dbz: float = DEFAULT_MAX_DBZ

    def __post_init__(self) -> None:
        if not (math.isfinite(self.gain) and math.isfinite(self.offset) and self.gain):
            raise _bad_scale(f"{self.quantity}:{self.gain:g},{self.offset:g}")
        both = set(self.nodata) & set(self.undetect)
        if both:
            what = f"{min(both)} cannot mark both missing data and no echo"
            raise InputError(what, where="--nodata, --undetect", hint="Give it to one of the two options")

    @classmethod
    def parse(
        cls,
        text: str,
        *,
        nodata: tuple[int, ...] = (),
        undetect: tuple[int, ...] = (),
        relation: ZRRelation | None = None,
        max_dbz: float | None = None,
    ) -> PixelScale:
        """Return the scale of `dbz:GAIN,OFFSET` or `mm/h:GAIN,OFFSET`; the default offset is 0.

        Raises
        ------
        InputError
            The text is neither, or rain rates come with a Z-R relation or a cap of reflectivity.
        """
        match = SCALE.fullmatch(text.replace(" ", ""))
        if match is None:
            raise _bad_scale(text)
        try:
            gain, offset = float(match[2]), float(match[3] or 0)
        except ValueError:
            raise _bad_scale(text) from None
        quantity: Literal["dbz", "mm/h"] = "dbz" if match[1].lower() == "dbz" else "mm/h"
        if quantity == "mm/h" and relation is not None:
            raise InputError("rain rates need no Z-R relation", where="--zr", hint="Leave it out")
        if quantity == "mm/h" and max_dbz is not None:
            raise InputError("rain rates need no cap of reflectivity", where="--max-dbz", hint="Leave it out")
        return cls(
            quantity=quantity,
            gain=gain,
            offset=offset,
            nodata=nodata,
            undetect=undetect,
            relation=relation or MARSHALL_PALMER,
            max_dbz=DEFAULT_MAX_DBZ if max_dbz is None else check_max_dbz(max_dbz),
        )

    @property
    def attributes(self) -> dict[str, str]:
        """How rain rates were derived, for `archive.json`."""
        scale = f"{self.quantity}:{self.gain:g},{self.offset:g}"
        marks = (("nodata", self.nodata), ("undetect", self.undetect))
        scale += "".join(f" {name} {','.join(map(str, values))}" for name, values in marks if values)
        reflectivity = describe_reflectivity(self.relation, self.max_dbz, capped=0)
        return {"pixel_scale": scale, **(reflectivity if self.quantity == "dbz" else {"quantity": "rain rate"})}

    def rain_rate_mm_h(self, pixels: NDArray[np.unsignedinteger]) -> FloatArray:
        """Return the rain rate (mm h-1, NaN = no data) of pixels [y, x], uint8 or uint16.

        Raises
        ------
        NotARadarFile
            A pixel value would be a negative or an impossibly high rain rate or reflectivity.
        """
        values = np.arange(np.iinfo(pixels.dtype).max + 1)
        physical = self.gain * values + self.offset
        marked = np.isin(values, (*self.nodata, *self.undetect))
        occurs = np.bincount(pixels.reshape(-1), minlength=values.size) > 0
        plausible = (
            physical < MAX_VALID_DBZ if self.quantity == "dbz" else (physical >= 0) & (physical <= MAX_RAIN_RATE_MM_H)
        )
        wrong = occurs & ~marked & ~plausible
        if wrong.any():
            value = int(values[wrong][-1])
            raise NotARadarFile(
                f"pixels of value {value} would be {physical[value]:g} {UNIT[self.quantity]}",
                hint=f"If they mark missing data give --nodata {value}, if no echo --undetect {value}; "
                "otherwise correct --pixel-scale",
            )
        if self.quantity == "dbz":
            options = ReadOptions(zr=self.relation.name, max_dbz=self.max_dbz)
            rain, _ = rain_rate_of_reflectivity(physical.astype(np.float32), options, self.relation)
        else:
            rain = physical.astype(np.float32)
        rain[np.isin(values, self.undetect)] = 0
        rain[np.isin(values, self.nodata)] = np.nan
        return np.asarray(rain[pixels], np.float32)


def _bad_scale(text: str) -> InputError:
    return InputError(
        "it is not a scale of pixel values",
        where=f"--pixel-scale {text}",
        hint="Give the unit, then gain and offset: dbz:0.5,-32 for dBZ = 0.5 value - 32, or mm/h:0.1,0",
    )


@dataclass(frozen=True, kw_only=True)
class ImageGrid:
    """Georeferencing of north-up images.

    `crs`: EPSG code, PROJ string, WKT or the name of a file with WKT; without it, images lie on a local grid without a
    location. `bounds`: west, south, east and north edges of the image. `corner`: x and y of the upper left corner,
    instead of bounds, with `pixel_size`. `pixel_size`: in units of the CRS; without a CRS in metres, by default 1 km.

    Raises
    ------
    InputError
        The values do not define a grid.
    """

    crs: str | None = None
    bounds: tuple[float, float, float, float] | None = None
    corner: tuple[float, float] | None = None
    pixel_size: float | None = None

    def __post_init__(self) -> None:
        problem = hint = ""
        numbers = (*(self.bounds or ()), *(self.corner or ()), self.pixel_size or 1.0)
        if not all(map(math.isfinite, numbers)) or (self.pixel_size is not None and self.pixel_size <= 0):
            problem, hint = "a number is not finite, or the pixel size is not positive", "Correct it"
        elif self.crs is None and (self.bounds or self.corner):
            problem, hint = "bounds and corners need a coordinate reference system", "Add --crs"
        elif self.crs is not None and bool(self.bounds) == bool(self.corner):
            problem, hint = "the location is missing, or given twice", "Give --bounds, or --corner and --pixel-size"
        elif self.corner and self.pixel_size is None:
            problem, hint = "a corner needs a pixel size", "Add --pixel-size"
        elif self.bounds and self.pixel_size is not None:
            problem, hint = "the bounds define the pixel size", "Leave --pixel-size out"
        elif self.bounds and not (self.bounds[0] < self.bounds[2] and self.bounds[1] < self.bounds[3]):
            problem, hint = "the bounds enclose no area", "Give them as WEST SOUTH EAST NORTH"
        if problem:
            raise InputError(problem, where="--crs, --bounds, --corner, --pixel-size", hint=hint)
        self._crs()

    def _crs(self) -> CRS:
        if self.crs is None:
            return CRS.from_proj4(LOCAL_CRS)
        try:
            crs = CRS.from_user_input(self.crs)
        except CRSError:
            crs = None
        if crs is None or not (crs.is_geographic or crs.is_projected):
            raise InputError(
                "not a projected or geographic coordinate reference system",
                where=f"--crs {self.crs[:80]}",
                hint="Give an EPSG code such as EPSG:32633, a PROJ string or WKT",
            )
        return crs

    def grid(self, shape: tuple[int, int]) -> Grid:
        """Return the grid of an image of `shape` (rows, columns).

        Raises
        ------
        InputError
            The image is too small for a grid.
        """
        rows, columns = shape
        crs = self._crs()
        if self.bounds is not None:
            west, south, east, north = self.bounds
            dx, dy = (east - west) / columns, (north - south) / rows
        else:
            dx = dy = self.pixel_size or LOCAL_PIXEL_M
            west, north = self.corner or (-columns * dx / 2, rows * dy / 2)
        return Grid(crs=crs, x=west + (np.arange(columns) + 0.5) * dx, y=north - (np.arange(rows) + 0.5) * dy)


@dataclass(frozen=True, kw_only=True)
class PngReader:
    """Reads PNGs as frames: valid times from file names by `pattern`, rain rates by `scale`, grids by `place`."""

    pattern: TimePattern
    scale: PixelScale
    place: ImageGrid

    def __call__(self, path: Path) -> FrameSequence:
        """Read one frame.

        Raises
        ------
        InputError
            The name does not fit the pattern, or the file is not an intact PNG of grey values.
        """
        time = self.pattern.parse(path)
        if time is None:
            raise NotARadarFile(
                f"its name does not fit the pattern {self.pattern.text}", where=str(path), hint="Correct --pattern"
            )
        try:
            pixels, opaque = read_grey(path)
            rain = self.scale.rain_rate_mm_h(pixels)
            rain[~opaque] = np.nan
            grid = self.place.grid(pixels.shape)
        except InputError as error:
            raise type(error)(error.what, where=str(path), hint=error.hint) from None
        return FrameSequence(rain_rate=rain[np.newaxis], times=np.array([time]), grid=grid, attributes=self.attributes)

    @property
    def attributes(self) -> Mapping[str, str]:
        """Attributes of the archive."""
        return {"radar_format": TITLE, **self.scale.attributes}


def read_grey(path: Path) -> tuple[NDArray[np.unsignedinteger], NDArray[np.bool_]]:
    """Return the pixel values [y, x] of a PNG, uint8 or uint16, and where they are opaque.

    A palette or RGB image whose pixels are all grey is read as grey; colours do not map to numbers.

    Raises
    ------
    InputError
        The file cannot be read, is damaged, or is in colour.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"it cannot be opened ({error.strerror})", hint="Check the path and its permissions") from None
    try:
        header = verify_png(content)
    except BadPng as error:
        raise NotARadarFile(str(error), hint=FETCH_AGAIN if content else "Give an intact PNG") from None
    check_size(*header.shape)
    if header.deep and header.grey_bits is None:
        raise _not_grey("16 bits per channel")
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None or image.shape[:2] != header.shape:
        raise NotARadarFile("it cannot be decoded", hint=FETCH_AGAIN)
    planes = image.reshape(*header.shape, -1)
    grey = planes[..., 0]
    if planes.shape[2] >= 3 and not (np.array_equal(grey, planes[..., 1]) and np.array_equal(grey, planes[..., 2])):
        raise _not_grey("colours")
    # OpenCV expands fewer bits to 8, and whether the file meant values or shades is unknown, unless all are 0.
    if header.grey_bits is not None and header.grey_bits < 8 and grey.any():
        raise _not_grey(f"{header.grey_bits} bits of grey, either values or shades")
    opaque = planes[..., 3] > 0 if planes.shape[2] == 4 else np.ones(header.shape, np.bool_)
    if header.transparent is not None:
        opaque &= grey != header.transparent
    return np.ascontiguousarray(grey), opaque


def _not_grey(pixels: str) -> NotARadarFile:
    return NotARadarFile(
        f"its pixels are a picture of values, not values ({pixels})", hint="Give images of 8 or 16 bits of grey"
    )
