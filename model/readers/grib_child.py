"""Decodes GRIB in a process of its own: eccodes beside HDF5 and OpenCV has ended processes by `double free`.

Run as a script by `model.readers.grib`. Reads paths as JSON from stdin; for each writes to stdout one JSON
line that describes its messages, and for each message that was asked for the raw float32 values. Imports
nothing of ours.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

KEYS = (
    "edition",
    "discipline",
    "parameterCategory",
    "parameterNumber",
    "shortName",
    "gridType",
    "Ni",
    "Nj",
    "latitudeOfFirstGridPointInDegrees",
    "longitudeOfFirstGridPointInDegrees",
    "latitudeOfLastGridPointInDegrees",
    "longitudeOfLastGridPointInDegrees",
    "iDirectionIncrementInDegrees",
    "jDirectionIncrementInDegrees",
    "iDirectionIncrementGiven",
    "jDirectionIncrementGiven",
    "iScansNegatively",
    "jScansPositively",
    "jPointsAreConsecutive",
    "alternativeRowScanning",
    "significanceOfReferenceTime",
    "typeOfGeneratingProcess",
    "forecastTime",
    "dataDate",
    "dataTime",
    "indicatorOfUnitForTimeRange",
    "lengthOfTimeRange",
    "validityDate",
    "validityTime",
    "second",
    "bitmapPresent",
    "packingType",
    "missingValue",
    "missingValueManagementUsed",
    "binaryScaleFactor",
    "decimalScaleFactor",
)

PIECE_BYTES = 1 << 20
PADDING = b"\0 \r\n\x03"
"""Zeros, and what ends a message on the GTS."""


def main() -> None:
    """Serve the paths given on stdin, in order."""
    output = sys.stdout.buffer
    # What the library prints must not end up among the values.
    request = json.load(sys.stdin)
    sys.stdout = sys.stderr
    try:
        import eccodes  # noqa: F401
    except Exception as error:  # the package may be there without its library
        _line(output, {"unavailable": f"{type(error).__name__}: {error}"})
        request["paths"] = []
    for path in request["paths"]:
        try:
            _one_file(path, request["max_pixels"], output)
        except Exception as error:  # the parent names the file; every reason is the same to it
            _line(output, {"error": f"{type(error).__name__}: {error}"})
    output.flush()
    # Skip the library's clean-up at exit: that is where it crashes.
    os._exit(0)


def _one_file(path: str, max_pixels: int, output: BinaryIO) -> None:
    import eccodes

    for number, (handle, keys) in enumerate(_messages(path)):
        if int(keys.get("Ni") or 0) * int(keys.get("Nj") or 0) > max_pixels:
            _line(output, {"message": number, **keys})  # described, never decoded: the parent refuses it
            continue
        _check_counts(handle, keys)
        values = _png_values(handle, keys)
        if values is None:
            values = eccodes.codes_get_values(handle).astype(np.float32)
            if keys.get("bitmapPresent") or keys.get("missingValueManagementUsed"):
                values[values == np.float32(keys["missingValue"])] = np.nan
        _line(output, {"message": number, "values": int(values.size), **keys})
        output.write(values.data)
    _line(output, {"end": True})


def _check_counts(handle: int, keys: dict[str, Any]) -> None:
    """Refuse a message whose counts disagree: the library allocates by one and the grid is made by another."""
    import eccodes

    nx, ny = int(keys.get("Ni") or 0), int(keys.get("Nj") or 0)
    for count in (int(eccodes.codes_get(handle, "numberOfDataPoints")), eccodes.codes_get_size(handle, "values")):
        if count != nx * ny:
            raise ValueError(f"its grid is {ny} x {nx}, it declares {count} values")


def _png_values(handle: int, keys: dict[str, Any]) -> NDArray[np.float32] | None:
    """Values of a message packed as a PNG (MRMS), else None. Half the time of eccodes, an eighth of its memory.

    GRIB2 template 7.41: value = (R + 2^E X) / 10^D, X the pixels of the PNG that is section 7.
    """
    import eccodes
    from PIL import Image

    if keys.get("packingType") != "grid_png" or keys.get("bitmapPresent"):
        return None
    reference, binary, decimal = (
        float(eccodes.codes_get(handle, key)) for key in ("referenceValue", "binaryScaleFactor", "decimalScaleFactor")
    )
    Image.MAX_IMAGE_PIXELS = None  # the declared grid was held against our own limit
    with Image.open(io.BytesIO(_section(eccodes.codes_get_message(handle), 7))) as image:
        if image.mode not in ("L", "I;16") or image.size != (keys["Ni"], keys["Nj"]):
            return None
        values = np.asarray(image).astype(np.float32).reshape(-1)
    values *= np.float32(2.0**binary)
    values += np.float32(reference)
    values /= np.float32(10.0**decimal)
    return values


def _section(message: bytes, number: int) -> bytes:
    """The content of a section of a GRIB2 message, after its length (4 bytes) and its number (1 byte)."""
    offset = 16
    while offset + 5 <= len(message):
        length = int.from_bytes(message[offset : offset + 4], "big")
        if message[offset + 4] == number:
            return message[offset + 5 : offset + length]
        offset += max(length, 5)
    raise ValueError(f"it has no section {number}")


def _messages(path: str) -> Iterator[tuple[int, dict[str, Any]]]:
    import eccodes

    end = 0
    with open(path, "rb") as file:  # noqa: PTH123  (eccodes wants a real file)
        while (handle := eccodes.codes_grib_new_from_file(file)) is not None:
            try:
                start = int(eccodes.codes_get(handle, "offset"))
                _check_padding(path, end, start)
                end = start + int(eccodes.codes_get(handle, "totalLength"))
                keys = {key: eccodes.codes_get(handle, key) for key in KEYS if _has(eccodes, handle, key)}
                if _has(eccodes, handle, "typeOfProcessedData"):  # letters, unless asked for as a number
                    keys["typeOfProcessedData"] = eccodes.codes_get_long(handle, "typeOfProcessedData")
                yield handle, keys
            finally:
                eccodes.codes_release(handle)
    _check_padding(path, end, Path(path).stat().st_size)


def _check_padding(path: str, start: int, end: int) -> None:
    """Refuse anything but padding between messages: the library passes over what does not begin as a message does."""
    with Path(path).open("rb") as file:
        file.seek(start)
        for offset in range(start, end, PIECE_BYTES):
            if file.read(min(PIECE_BYTES, end - offset)).strip(PADDING):
                raise ValueError(f"{end - start:,} bytes from byte {start:,} on belong to no message")


def _has(eccodes: Any, handle: int, key: str) -> bool:  # noqa: ANN401  (a module)
    return bool(eccodes.codes_is_defined(handle, key))


def _line(output: BinaryIO, content: dict[str, Any]) -> None:
    output.write(json.dumps(content).encode() + b"\n")


if __name__ == "__main__":
    main()
