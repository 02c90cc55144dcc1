"""GRIB decoder for a process of its own: eccodes next to HDF5 and OpenCV has ended processes by `double free`.

`model.readers.grib` runs this file as a script, or calls `decoded` where the process may be lost. The script reads
paths as JSON from stdin and writes for each message one JSON line with its keys and the raw float32 values to stdout.
It imports no module of Echocast.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

KEYS = (
    *("edition", "discipline", "parameterCategory", "parameterNumber", "shortName"),
    *("gridType", "Ni", "Nj"),
    *("latitudeOfFirstGridPointInDegrees", "longitudeOfFirstGridPointInDegrees"),
    *("latitudeOfLastGridPointInDegrees", "longitudeOfLastGridPointInDegrees"),
    *("iDirectionIncrementInDegrees", "jDirectionIncrementInDegrees"),
    *("iDirectionIncrementGiven", "jDirectionIncrementGiven"),
    *("iScansNegatively", "jScansPositively", "jPointsAreConsecutive", "alternativeRowScanning"),
    *("significanceOfReferenceTime", "typeOfGeneratingProcess", "dataDate", "dataTime"),
    *("forecastTime", "indicatorOfUnitOfTimeRange"),
    *("indicatorOfUnitForTimeRange", "lengthOfTimeRange", "second"),
    *("bitmapPresent", "packingType", "missingValue", "missingValueManagementUsed"),
    *("binaryScaleFactor", "decimalScaleFactor"),
)
VALIDITY_KEYS = ("validityDate", "validityTime")
SHORT_UNITS = (0, 1, 2, 10, 11, 12, 13)
"""Code table 4.4: seconds to days. The library adds others year by year, for minutes, and no unit without end."""

PIECE_BYTES = 1 << 20
PADDING = b"\0 \r\n\x03"
"""Zeros, and the characters that end a message on the GTS."""


def main() -> None:
    """Decode the files named on stdin, in order."""
    output = sys.stdout.buffer
    # Output of the library must not end up between the values.
    request = json.load(sys.stdin)
    sys.stdout = sys.stderr
    for path in request["paths"]:
        for piece in decoded(path, request["max_pixels"]):
            output.write(piece)
    output.flush()
    # Skip the clean-up of the library at exit, which is where it crashes.
    os._exit(0)


def decoded(path: str, max_pixels: int) -> Iterator[bytes | memoryview]:
    """Yield JSON lines and raw values of one file; of values beyond `max_pixels` the line alone."""
    try:
        import eccodes  # noqa: F401  (a trial)
    except Exception as error:  # the package may lack its library
        yield _line({"unavailable": f"{type(error).__name__}: {error}"})
        return
    try:
        yield from _one_file(path, max_pixels)
    except MemoryError:
        raise
    except Exception as error:  # the reader handles every reason alike
        yield _line({"error": f"{type(error).__name__}: {error}"})


def _one_file(path: str, max_pixels: int) -> Iterator[bytes | memoryview]:
    import eccodes

    for number, (handle, keys) in enumerate(_messages(path)):
        if int(keys.get("Ni") or 0) * int(keys.get("Nj") or 0) > max_pixels:
            yield _line({"message": number, **keys})  # without values: the reader refuses the message
            continue
        _check_counts(handle, keys)
        values = _png_values(handle, keys)
        if values is None:
            values = eccodes.codes_get_values(handle).astype(np.float32)
            if keys.get("bitmapPresent") or keys.get("missingValueManagementUsed"):
                values[values == np.float32(keys["missingValue"])] = np.nan
        yield _line({"message": number, "values": int(values.size), **keys})
        yield values.data
    yield _line({"end": True})


def _check_counts(handle: int, keys: dict[str, Any]) -> None:
    """Check the counts of a message against each other: the library allocates by one, the grid follows another."""
    import eccodes

    nx, ny = int(keys.get("Ni") or 0), int(keys.get("Nj") or 0)
    for count in (int(eccodes.codes_get(handle, "numberOfDataPoints")), eccodes.codes_get_size(handle, "values")):
        if count != nx * ny:
            raise ValueError(f"the grid is {ny} x {nx}, the declared number of values is {count}")


def _png_values(handle: int, keys: dict[str, Any]) -> NDArray[np.float32] | None:
    """Return the values of a message packed as PNG (MRMS), None of others.

    Takes half of the time of eccodes and an eighth of the memory. GRIB2 template 7.41: value = (R + 2^E X) / 10^D with
    X the pixels of the PNG in section 7.
    """
    import eccodes
    from PIL import Image

    if keys.get("packingType") != "grid_png" or keys.get("bitmapPresent"):
        return None
    reference, binary, decimal = (
        float(eccodes.codes_get(handle, key)) for key in ("referenceValue", "binaryScaleFactor", "decimalScaleFactor")
    )
    Image.MAX_IMAGE_PIXELS = None  # the limit on pixels was checked before
    with Image.open(io.BytesIO(_section(eccodes.codes_get_message(handle), 7))) as image:
        if image.mode not in ("L", "I;16") or image.size != (keys["Ni"], keys["Nj"]):
            return None
        values = np.asarray(image).astype(np.float32).reshape(-1)
    values *= np.float32(2.0**binary)
    values += np.float32(reference)
    values /= np.float32(10.0**decimal)
    return values


def _section(message: bytes, number: int) -> bytes:
    """Return the content of a section of a GRIB2 message, after length (4 bytes) and section number (1 byte)."""
    offset = 16
    while offset + 5 <= len(message):
        length = int.from_bytes(message[offset : offset + 4], "big")
        if message[offset + 4] == number:
            return message[offset + 5 : offset + length]
        offset += max(length, 5)
    raise ValueError(f"the message has no section {number}")


def _messages(path: str) -> Iterator[tuple[int, dict[str, Any]]]:
    import eccodes

    end = 0
    with open(path, "rb") as file:  # noqa: PTH123  (eccodes needs a real file)
        while (handle := eccodes.codes_grib_new_from_file(file)) is not None:
            try:
                start = int(eccodes.codes_get(handle, "offset"))
                _check_padding(path, end, start)
                end = start + int(eccodes.codes_get(handle, "totalLength"))
                keys = {key: eccodes.codes_get(handle, key) for key in KEYS if _has(eccodes, handle, key)}
                if keys.get("indicatorOfUnitOfTimeRange") in (None, *SHORT_UNITS):
                    keys |= {key: eccodes.codes_get(handle, key) for key in VALIDITY_KEYS if _has(eccodes, handle, key)}
                if _has(eccodes, handle, "typeOfProcessedData"):  # text by default
                    keys["typeOfProcessedData"] = eccodes.codes_get_long(handle, "typeOfProcessedData")
                yield handle, keys
            finally:
                eccodes.codes_release(handle)
    _check_padding(path, end, Path(path).stat().st_size)


def _check_padding(path: str, start: int, end: int) -> None:
    """Refuse anything but padding between messages: the library silently skips bytes that do not start a message."""
    with Path(path).open("rb") as file:
        file.seek(start)
        for offset in range(start, end, PIECE_BYTES):
            if file.read(min(PIECE_BYTES, end - offset)).strip(PADDING):
                raise ValueError(f"{end - start:,} bytes from byte {start:,} on belong to no message")


def _has(eccodes: Any, handle: int, key: str) -> bool:  # noqa: ANN401  (a module)
    return bool(eccodes.codes_is_defined(handle, key))


def _line(content: dict[str, Any]) -> bytes:
    return json.dumps(content).encode() + b"\n"


if __name__ == "__main__":
    main()
