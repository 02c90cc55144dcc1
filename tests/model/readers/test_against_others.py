"""Real files, and RADOLAN, compared with independent readers: pysteps and wradlib, where they are installed.

`pip install pysteps wradlib` into the environment of the tests runs these; they are no dependency, not even for tests.
Each runs in a process of its own: it brings its own libraries, and warns on import.
"""

from __future__ import annotations

import importlib.util
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from model.core.grid import Grid
from model.readers import read

PYSTEPS = """
import sys, warnings, numpy as np
warnings.simplefilter("ignore")
import pysteps.io.importers as importers
values, _, said = getattr(importers, sys.argv[1])(sys.argv[2], **eval(sys.argv[3]))
np.savez(sys.argv[4], values=np.asarray(values), edges=[said["x1"], said["x2"], said["y1"], said["y2"]])
"""
WRADLIB = """
import sys, warnings, numpy as np
warnings.simplefilter("ignore")
from wradlib.io import radolan
values, said = radolan.read_radolan_composite(sys.argv[1], missing=np.nan)
file = radolan._radolan_file(sys.argv[1])
file._read()
np.savez(sys.argv[2], values=values, x=file._variables["x"].data, y=file._variables["y"].data,
    time=np.datetime64(said["datetime"].replace(tzinfo=None)))
"""


def edges(grid: Grid) -> list[float]:
    """Left, right, lower, upper outer edge."""
    dx, dy = grid.x[1] - grid.x[0], abs(grid.y[1] - grid.y[0])
    return [grid.x[0] - dx / 2, grid.x[-1] + dx / 2, grid.y.min() - dy / 2, grid.y.max() + dy / 2]


@pytest.mark.skipif(importlib.util.find_spec("pysteps") is None, reason="pysteps is not installed")
@pytest.mark.parametrize(
    ("importer", "file", "options", "origin"),
    [
        ("import_odim_hdf5", "opera/T_PAAH21_C_EUOC_20180824180000.hdf", {"qty": "RATE"}, (0.0, 0.0)),
        (
            "import_knmi_hdf5",
            "knmi/RAD_NL25_RAP_5min_201008260030.h5",
            {"qty": "ACRR", "accutime": 5.0, "pixelsize": 1.0},
            (0.0, 0.0),
        ),
        (
            "import_fmi_pgm",
            "fmi/201609281445_fmi.radar.composite.lowest_FIN_SUOMI1.pgm.gz",
            {"gzipped": True},
            (380_886.31, 3_395_677.92),  # pysteps counts from the lower left corner
        ),
    ],
    ids=["OPERA", "KNMI", "FMI"],
)
def test_pysteps(
    tmp_path: Path, real_data: Path, importer: str, file: str, options: dict[str, object], origin: tuple[float, float]
) -> None:
    out = tmp_path / "theirs.npz"
    subprocess.run(
        [sys.executable, "-c", PYSTEPS, importer, str(real_data / file), repr(options), str(out)], check=True
    )
    theirs, ours = np.load(out), read([real_data / file])
    values = theirs["values"]
    if importer == "import_knmi_hdf5":
        values = values * 12
    if importer == "import_odim_hdf5":
        values = np.maximum(values, 0)
    if importer == "import_fmi_pgm":
        values = np.where(values < -10, 0, (10 ** (values / 10) / 223) ** (1 / 1.53)) + 0 * values
    np.testing.assert_array_equal(np.isnan(ours.rain_rate[0]), np.isnan(values))
    np.testing.assert_allclose(ours.rain_rate[0], values, rtol=1e-5, atol=1e-6)
    pixel = ours.grid.x[1] - ours.grid.x[0]
    away = np.array(edges(ours.grid)) + np.repeat(origin, 2) - theirs["edges"]
    assert np.abs(away).max() < 0.5 * pixel


@pytest.mark.skipif(importlib.util.find_spec("wradlib") is None, reason="wradlib is not installed")
@pytest.mark.parametrize(("shape", "version"), [((900, 900), 3), ((1100, 900), 3), ((1200, 1100), 5)])
def test_wradlib(tmp_path: Path, shape: tuple[int, int], version: int) -> None:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 1200, shape).astype("<u2")
    pixels[rng.random(shape) < 0.1] = 0x29C4
    pixels[rng.random(shape) < 0.02] |= 0x1000
    header = f"RY010550100000624BY{{:>7}}VS{version:>2}SW  P42003HPR E-02INT   5GP{shape[0]:>4}x{shape[1]:>4}MS 5<asb>"
    size = len(header.format(0)) + 1 + pixels.nbytes
    path, out = tmp_path / "raa01-ry_10000-2406010550-dwd---bin", tmp_path / "theirs.npz"
    path.write_bytes(header.format(size).encode() + b"\x03" + pixels.tobytes())
    subprocess.run([sys.executable, "-c", WRADLIB, str(path), str(out)], check=True)
    theirs, ours = np.load(io.BytesIO(out.read_bytes())), read([path])
    np.testing.assert_array_equal(np.isnan(ours.rain_rate[0]), np.isnan(theirs["values"]))
    np.testing.assert_allclose(ours.rain_rate[0], theirs["values"] * 12, rtol=1e-5)
    np.testing.assert_allclose(ours.grid.x, theirs["x"], atol=1)
    np.testing.assert_allclose(ours.grid.y, theirs["y"], atol=1)
    assert ours.times[0] == theirs["time"]
