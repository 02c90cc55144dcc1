"""The forecast file, written at once and frame by frame."""

import netCDF4
import numpy as np
import pytest
import xarray as xr
from pyproj import CRS

from model.core.forecast_file import Forecast, ForecastHeader, ForecastWriter, write_netcdf
from model.core.grid import Grid
from model.core.sequence import FrameSequence

START = np.datetime64("2026-11-20T12:00", "ns")
GRID = Grid.regular(CRS.from_epsg(3035), shape=(70, 530), pixel_size=1000.0, centre=(4e6, 3e6))
HEADER = ForecastHeader(
    reference_time=START, lead_minutes=np.array([5.0, 10.0, 15.0]), grid=GRID, attributes={"model": "test"}
)


@pytest.fixture
def rain():
    rng = np.random.default_rng(5)
    rain = rng.gamma(0.5, 8.0, (3, *GRID.shape)).astype(np.float32)
    rain[rng.random(rain.shape) < 0.5] = 0
    rain[0, :10] = np.nan
    rain[1] = 0
    rain[2, :, 512:] = np.nan  # a whole chunk
    rain[2, 5, :4] = [655.34, 655.345, 47_240.0, np.inf]
    return rain


def forecast(rain):
    return Forecast(
        rain_rate=rain,
        reference_time=HEADER.reference_time,
        lead_minutes=HEADER.lead_minutes,
        grid=GRID,
        attributes=HEADER.attributes,
    )


def stored(path):
    """Return the content of a netCDF file as stored."""
    with netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        variables = {
            name: (
                variable.dtype,
                variable.dimensions,
                variable.chunking(),
                variable.filters(),
                {key: (str(value), np.asarray(value).dtype) for key, value in variable.__dict__.items()},
                variable[...].tobytes(),
            )
            for name, variable in file.variables.items()
        }
        return list(variables), variables, dict(file.__dict__), {d: len(n) for d, n in file.dimensions.items()}


def written_by_xarray(item, path):
    """Write the same file with xarray, for comparison."""
    dataset = item.to_dataset()
    ceiling = np.float32(655.34)
    if clipped := int((item.rain_rate > ceiling).sum()):
        dataset["rainfall_rate"] = dataset["rainfall_rate"].clip(max=ceiling, keep_attrs=True)
        dataset["rainfall_rate"].attrs["clipped_pixels"] = clipped
    dataset["rainfall_rate"].encoding = {
        "dtype": "uint16",
        "scale_factor": np.float32(0.01),
        "_FillValue": np.uint16(65535),
        "zlib": True,
        "complevel": 1,
        "shuffle": True,
        "chunksizes": (1, *(min(size, 512) for size in GRID.shape)),
    }
    for coordinate in ("x", "y"):
        dataset[coordinate].encoding = {"_FillValue": None}
    dataset.to_netcdf(path, engine="netcdf4", format="NETCDF4")


def stream(path, frames):
    with ForecastWriter(path, HEADER) as writer:
        for frame in frames:
            writer.append(frame)


@pytest.mark.parametrize("clipping", [False, True])
@pytest.mark.parametrize("kind", ["forecast", "sequence"])
def test_the_file_is_what_xarray_would_write(tmp_path, rain, kind, clipping):
    rain = rain if clipping else np.minimum(rain, 100)
    item = forecast(rain)
    if kind == "sequence":
        mask = np.zeros(GRID.shape, bool)
        mask[3] = True
        item = FrameSequence(rain_rate=rain, times=item.times, grid=GRID, mask=mask, attributes={"licence": "ours"})
    write_netcdf(item, tmp_path / "ours.nc")
    written_by_xarray(item, tmp_path / "theirs.nc")
    assert stored(tmp_path / "ours.nc") == stored(tmp_path / "theirs.nc")
    ours, theirs = ((tmp_path / f"{name}.nc").stat().st_size for name in ("ours", "theirs"))
    assert ours < 1.1 * theirs


def test_frame_by_frame_is_the_same_file(tmp_path, rain):
    write_netcdf(forecast(rain), tmp_path / "whole.nc")
    stream(tmp_path / "streamed.nc", rain)
    assert stored(tmp_path / "streamed.nc") == stored(tmp_path / "whole.nc")


def test_the_frames_given_stay_as_they_are(tmp_path, rain):
    before = rain.copy()
    write_netcdf(forecast(rain), tmp_path / "f.nc")
    assert np.array_equal(rain, before, equal_nan=True)


def test_a_header_alone_is_a_forecast_that_is_not_known():
    dataset = HEADER.to_dataset()
    assert dataset["rainfall_rate"].shape == (3, *GRID.shape)
    assert np.isnan(dataset["rainfall_rate"].values).all()
    assert np.array_equal(dataset["time"].values, START + np.array([5, 10, 15]) * np.timedelta64(1, "m"))


def test_an_interrupted_forecast_leaves_no_file(tmp_path, rain):
    def cancelled():
        yield rain[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stream(tmp_path / "f.nc", cancelled())
    assert not list(tmp_path.iterdir())


def test_a_forecast_with_a_lead_missing_is_no_file(tmp_path, rain):
    with pytest.raises(ValueError, match="2 of 3 frames"):
        stream(tmp_path / "f.nc", rain[:2])
    assert not list(tmp_path.iterdir())


def test_a_frame_too_many_or_of_another_shape_is_refused(tmp_path, rain):
    with pytest.raises(ValueError, match="frame 4 of 3"):
        stream(tmp_path / "f.nc", [*rain, rain[0]])
    with pytest.raises(ValueError, match=r"has shape \(69, 530\)"):
        stream(tmp_path / "f.nc", rain[:, :-1])
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_to_is_an_os_error(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        ForecastWriter(tmp_path / "nowhere" / "f.nc", HEADER)


def test_a_dry_forecast_without_data_gaps_is_small_and_dry(tmp_path):
    write_netcdf(forecast(np.zeros((3, *GRID.shape), np.float32)), tmp_path / "f.nc")
    with xr.open_dataset(tmp_path / "f.nc") as opened:
        assert not opened["rainfall_rate"].values.any()
    assert (tmp_path / "f.nc").stat().st_size < 60_000
