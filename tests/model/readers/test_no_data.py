"""Values that no atmosphere has are missing, and hail is capped, whatever the format."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from model.commands import nowcast
from model.core.errors import FutureFrame, InputError
from model.core.forecast_file import write_netcdf
from model.core.normalisation import hko7_rain_rate_mm_h
from model.core.zr import FMI, HKO7, MARSHALL_PALMER
from model.readers import read
from model.readers.hko7 import hko7_grid

Write = Callable[..., Path]
TIMES = np.datetime64("2020-01-01T00:00") + 5 * np.arange(4) * np.timedelta64(1, "m")


def dbz(*values: float) -> np.ndarray:
    """One frame [1, 2, n]: the values, twice."""
    return np.broadcast_to(np.array(values, np.float32), (1, 2, len(values))).copy()


def of_reflectivity(write_npz: Write, *values: float, **options: float) -> np.ndarray:
    path = write_npz(reflectivity=dbz(*values), times=TIMES[:1])
    return read([path], **options).rain_rate[0, 0]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "fill", [-99.9, -99.99, -100.0, -999.0, -9999.0, -32768.0, -3.4e38, 95.0, 95.5, 999.0, 9999.0, 3.4e38, np.inf]
)
def test_reflectivity_that_no_radar_measures_is_missing(write_npz: Write, fill: float) -> None:
    rain = of_reflectivity(write_npz, fill, 40.0)
    assert np.isnan(rain[0])
    assert rain[1] == pytest.approx(11.53, abs=0.01)


@pytest.mark.parametrize("no_echo", [-99.0, -96.0, -64.0, -32.0, -31.5, -np.inf])
def test_no_echo_is_dry(write_npz: Write, no_echo: float) -> None:
    assert of_reflectivity(write_npz, no_echo, 40.0)[0] == 0


@pytest.mark.parametrize("fill", [9999.0, 65535.0, 3.4e38, np.inf, -1.0, -9999.0, -3.4e38])
def test_rain_that_never_fell_is_missing(write_npz: Write, fill: float) -> None:
    rain = np.full((1, 2, 2), 1800.0, np.float32)
    rain[..., 0] = fill
    read_back = read([write_npz(rain_rate=rain, times=TIMES[:1])]).rain_rate[0, 0]
    assert np.isnan(read_back[0])
    assert read_back[1] == 1800


def test_a_cap_that_cannot_be_names_the_setting(write_npz: Write) -> None:
    with pytest.raises(InputError, match=r"--max-dbz, ECHOCAST_MAX_DBZ.*300 dBZ"):
        of_reflectivity(write_npz, 40.0, max_dbz=300.0)


@pytest.mark.parametrize("ahead", [-14, 14])
def test_clocks_may_differ_by_minutes(write_npz: Write, ahead: int) -> None:
    times = np.array([np.datetime64(datetime.now(UTC).replace(tzinfo=None), "s") + np.timedelta64(ahead, "m")])
    assert (read([write_npz(rain_rate=np.ones((1, 2, 2)), times=times)]).times == times).all()


@pytest.mark.parametrize("hours", [1, 8, 12])
def test_local_time_east_of_greenwich_is_no_utc(write_npz: Write, hours: int) -> None:
    times = np.array([np.datetime64(datetime.now(UTC).replace(tzinfo=None), "s") + np.timedelta64(hours, "h")])
    with pytest.raises(FutureFrame, match=r"is ahead of this machine's clock.*must be UTC"):
        read([write_npz(rain_rate=np.ones((1, 2, 2)), times=times)])


@pytest.mark.parametrize("link", [None, "symlink_to", "hardlink_to"])
def test_a_forecast_never_replaces_a_radar_file(write_npz: Write, tmp_path: Path, link: str | None) -> None:
    path = write_npz(rain_rate=np.ones((4, 30, 30), np.float32), times=TIMES)
    out, before = path, path.read_bytes()
    if link is not None:
        out = tmp_path / "link"
        getattr(out, link)(path)
    refused = CliRunner().invoke(nowcast, [str(path), "--out", str(out), "--model", "persistence"])
    assert isinstance(refused.exception, InputError)
    assert "the output is one of the radar files" in str(refused.exception)
    assert path.read_bytes() == out.read_bytes() == before


@pytest.mark.parametrize(("start", "most"), [("00:00", 150.0), ("25-AUG", 1900.0)])
def test_an_amount_is_held_against_the_records_of_its_period(write_knmi: Write, start: str, most: float) -> None:
    """655.35 mm is an undeclared 65535: impossible in five minutes, but possible in a day."""
    day = start == "25-AUG"
    begun = "25-AUG-2010;00:05:00.000" if day else "26-AUG-2010;00:00:00.000"
    pixels = np.array([[int(most * 10), int(most * 100 / 9), 65535], [0, 0, 0]], np.uint16)
    path = write_knmi(start=begun, pixels=pixels, formula="GEO=0.1*PV+0.0", outside=65533)
    rain = read([path]).rain_rate[0, 0] * (24 if day else 1 / 12)
    assert rain[0] == pytest.approx(most, rel=1e-5)
    assert np.isnan(rain[1:]).all()


def test_hail_counts_as_the_cap_and_is_counted(write_npz: Write) -> None:
    rain = of_reflectivity(write_npz, 54.0, 55.0, 60.0, 78.0)
    assert rain[1:] == pytest.approx([99.9] * 3, abs=0.1)  # 2734 mm/h without a cap
    assert rain[0] < rain[1]
    one = write_npz("a.npz", reflectivity=dbz(40.0, 60.0, 78.0), times=TIMES[:1])
    other = write_npz("b.npz", reflectivity=dbz(40.0, 60.0, 40.0), times=TIMES[1:2])
    attributes = read([one, other]).attributes
    assert (attributes["max_dbz"], attributes["capped_pixels"]) == ("55", "6")
    assert "capped_pixels" not in read([one], max_dbz=80).attributes


@pytest.mark.parametrize("cap", [53.0, 60.0, 95.0])
def test_the_cap_can_be_chosen(write_npz: Write, cap: float) -> None:
    expected = min(2000, 10 ** ((min(cap, 78.0) - 10 * np.log10(200)) / 16))
    assert of_reflectivity(write_npz, 78.0, 10.0, max_dbz=cap)[0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("cap", [0.0, -5.0, 96.0, np.nan, np.inf])
def test_an_invalid_cap_is_refused(write_npz: Write, cap: float) -> None:
    with pytest.raises(InputError, match="cap"):
        of_reflectivity(write_npz, 78.0, 10.0, max_dbz=cap)


def test_reflectivity_in_eight_bits_is_capped_too(write_knmi: Write, real_data: Path, tmp_path: Path) -> None:
    pixels = np.array([[0, 150, 220], [0, 0, 0]], np.uint8)
    formula = {"formula": "GEO=0.5*PV-31.5", "parameter": "REFLECTIVITY_[DBZ]", "outside": 255, "missing": 0}
    knmi = read([write_knmi(pixels=pixels, **formula)])
    assert knmi.rain_rate.max() == pytest.approx(MARSHALL_PALMER.rain_rate_mm_h(np.array(55.0)), rel=1e-5)
    assert knmi.attributes["capped_pixels"] == "1"

    hail = np.zeros((480, 480), np.uint8)
    hail[:10, :10] = 255  # 60 dBZ
    name = tmp_path / "RAD150607123600.png"
    Image.fromarray(hail).save(name)
    hko7 = read([name], max_dbz=50)
    assert hko7.rain_rate.max() == pytest.approx(10 ** ((50 - 10 * np.log10(58.53)) / 15.6), rel=1e-4)
    assert hko7.attributes["capped_pixels"] == "100"

    finland = sorted((real_data / "fmi").glob("*.pgm*"))[:1]
    fmi, uncapped = (read(finland, max_dbz=cap) for cap in (30, 95))
    assert fmi.rain_rate[np.isfinite(fmi.rain_rate)].max() == pytest.approx(FMI.rain_rate_mm_h(np.array(30.0)))
    above = np.count_nonzero(uncapped.rain_rate > fmi.rain_rate)
    assert int(fmi.attributes["capped_pixels"]) == above > 0


def test_an_archives_pixels_are_capped_once(tmp_path: Path) -> None:
    """The import that wrote them did that: they are rain rates, not reflectivity."""
    grid = hko7_grid()
    described = {
        "noise_below": 0,
        "grid": {"crs_wkt": grid.crs.to_wkt(), "x0": 0, "dx": 1000, "nx": 480, "y0": 0, "dy": -1000, "ny": 480},
    }
    (tmp_path / "archive.json").write_text(json.dumps(described))
    path = tmp_path / "RAD150607123600.png"
    Image.fromarray(np.full((480, 480), 255, np.uint8)).save(path)
    assert read([path]).rain_rate.max() == pytest.approx(hko7_rain_rate_mm_h(np.array(1.0)))
    (tmp_path / "archive.json").unlink()
    assert read([path]).rain_rate.max() == pytest.approx(HKO7.rain_rate_mm_h(np.array(55.0)))


def test_summary_and_file_agree(write_npz: Write, tmp_path: Path) -> None:
    """A file holds up to 655.34 mm/h in steps of 0.01, and its summary agrees."""
    rain = np.zeros((4, 64, 64), np.float32)
    rain[:, 20:40, 20:40] = 1500.0
    path = write_npz(rain_rate=rain, times=TIMES)
    out = tmp_path / "nowcast.nc"
    done = CliRunner().invoke(
        nowcast, [str(path), "--model", "persistence", "--steps", "1", "--out", str(out), "--json"]
    )
    assert done.exit_code == 0, done.output
    lead = json.loads(done.stdout)["leads"][0]
    with_hail = read([_observed(out, tmp_path)]).rain_rate
    assert lead["max_mm_h"] == pytest.approx(float(np.nanmax(with_hail)), abs=0.005) == pytest.approx(655.34)


def test_the_cap_is_an_option_of_the_command(write_npz: Write, tmp_path: Path) -> None:
    values = np.full((4, 64, 64), -32.0, np.float32)
    values[:, 20:40, 20:40] = 78.0
    path = write_npz(reflectivity=values, times=TIMES)
    asked = [str(path), "--model", "persistence", "--steps", "1", "--out", str(tmp_path / "a.nc"), "--json"]
    peaks = [
        json.loads(CliRunner().invoke(nowcast, asked, env=env).stdout)["leads"][0]["max_mm_h"]
        for env in ({}, {"ECHOCAST_MAX_DBZ": "53"})
    ]
    assert peaks == pytest.approx([99.85, 74.88], abs=0.05)


def _observed(forecast: Path, folder: Path) -> Path:
    """Write the frames of a forecast file as observed frames."""
    import xarray as xr

    from model.core.sequence import FrameSequence

    with xr.open_dataset(forecast) as dataset:
        del dataset.attrs["title"]
        frames = FrameSequence.from_dataset(dataset)
    write_netcdf(frames, folder / "observed.nc")
    return folder / "observed.nc"
