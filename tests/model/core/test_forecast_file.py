"""The forecast file, written at once and frame by frame."""

import netCDF4
import numpy as np
import pytest
import xarray as xr
from pyproj import CRS

from model.core.forecast_file import Forecast, ForecastHeader, ForecastWriter, write_netcdf
from model.core.forecast_output import ForecastOutput
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


THRESHOLDS = (0.1, 2.0, 10.0)


@pytest.fixture
def probability(rain):
    """Probabilities of 0, 1 and all between, which fall along the thresholds; no data where the rain has none."""
    rng = np.random.default_rng(6)
    first = rng.random((3, *GRID.shape)).astype(np.float32).round(3)
    first[:, 20:22], first[:, 22:24] = 0, 1
    probability = np.stack([first, first**2, first**4])
    probability[:, np.isnan(rain)] = np.nan
    return probability


@pytest.fixture
def members(rain):
    return np.stack([rain, np.roll(rain, 7, axis=1), rain / 2, np.zeros_like(rain)])


def full(rain, probability, members, **changes):
    asked = {"thresholds_mm_h": THRESHOLDS, "members": 4, "seed": 2**32 - 1}
    header = vars(forecast(rain)) | {"field": "sharp", "probability_method": "distribution"}
    parts = {"output": ForecastOutput(**asked), "probability": probability, "members": members}
    return Forecast(**header | parts | changes)


@pytest.mark.filterwarnings("error")
def test_probabilities_and_members_are_cf_and_come_back(tmp_path, rain, probability, members):
    write_netcdf(full(np.minimum(rain, 100), probability, np.minimum(members, 100)), tmp_path / "f.nc")
    with xr.open_dataset(tmp_path / "f.nc") as opened:
        exceedance = opened["probability_of_exceedance"]
        assert exceedance.dims == ("threshold", "time", "y", "x")
        np.testing.assert_allclose(exceedance.values, probability, atol=0.0026)
        assert exceedance.attrs["units"] == "1"
        assert exceedance.attrs["grid_mapping"] == "crs"
        assert {"forecast_period", "forecast_reference_time"} <= set(exceedance.coords)
        assert opened["threshold"].values.tolist() == list(THRESHOLDS)
        assert (opened["threshold"].attrs["standard_name"], opened["threshold"].attrs["units"]) == (
            "rainfall_rate",
            "mm h-1",
        )
        assert opened["rainfall_rate"].dims == ("realization", "time", "y", "x")
        np.testing.assert_allclose(opened["rainfall_rate"].values, np.minimum(members, 100), atol=0.006)
        assert opened["realization"].attrs["standard_name"] == "realization"
        assert opened["rainfall_rate_sharp"].attrs["field"] == "sharp"
        np.testing.assert_allclose(opened["rainfall_rate_sharp"].values, np.minimum(rain, 100), atol=0.006)
        assert "field" not in opened["rainfall_rate"].attrs
        assert opened.attrs["probability_method"] == "distribution"
        assert opened.attrs["members_seed"] == 2**32 - 1


def test_impossible_certain_and_the_order_of_thresholds_survive_the_packing(tmp_path, rain, probability, members):
    write_netcdf(full(rain, probability, members), tmp_path / "f.nc")
    with xr.open_dataset(tmp_path / "f.nc") as opened:
        stored = opened["probability_of_exceedance"].values
    known = np.isfinite(probability)
    assert np.array_equal(np.isfinite(stored), known)
    assert (stored[known & (probability == 0)] == 0).all()
    assert (stored[known & (probability == 1)] == 1).all()
    assert (np.diff(stored, axis=0)[:, known[0]] <= 0).all()


def test_the_field_alone_says_which_one_it_is(tmp_path, rain):
    header = vars(forecast(rain)) | {"field": "median"}
    write_netcdf(Forecast(**header), tmp_path / "f.nc")
    with xr.open_dataset(tmp_path / "f.nc") as opened:
        assert set(opened.data_vars) == {"rainfall_rate", "crs"}
        assert opened["rainfall_rate"].attrs["field"] == "median"
        assert not {"probability_method", "members_seed", "threshold", "realization"} & {*opened.attrs, *opened.coords}


def test_clipping_of_members_is_counted_apart(tmp_path, rain, probability, members):
    write_netcdf(full(rain, probability, members), tmp_path / "f.nc")
    with netCDF4.Dataset(tmp_path / "f.nc") as file:
        assert file["rainfall_rate_sharp"].clipped_pixels == (rain > 655.34).sum()
        assert file["rainfall_rate"].clipped_pixels == (members > 655.34).sum()


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("not monotone", r"lead step 2: the probability of 10 mm/h is higher than that of the threshold below"),
        ("above 1", r"lead step 2: the probability of 0.1 mm/h is not between 0 and 1"),
        ("below 0", r"lead step 2: the probability of 10 mm/h is not between 0 and 1"),
        ("infinite", r"lead step 2: the probability of 0.1 mm/h is not between 0 and 1"),
        ("no data where there is rain", "lead step 2: .* have data at different pixels"),
        ("low where there is no data", "lead step 1: .* have data at different pixels"),
        ("absent", r"the probability has shape None, and the header has \(3, 70, 530\)"),
        ("not asked for", r"the array of members has shape \(4, 70, 530\), and the header has None"),
    ],
)
def test_what_is_no_distribution_is_never_a_file(tmp_path, rain, probability, members, name, pattern):
    changes = {}
    match name:
        case "not monotone":
            probability[2, 1, 30, 40] = probability[1, 1, 30, 40] + 0.01
        case "above 1":
            probability[0, 1, 30, 40] = 1.01
        case "below 0":
            probability[2, 1, 30, 40] = -0.01
        case "infinite":
            probability[:, 1, 30, 40] = np.inf
        case "no data where there is rain":
            probability[1, 1, 30, 40] = np.nan
        case "low where there is no data":
            probability[:, 0, 3, 40] = 0
        case "absent":
            probability = None
        case "not asked for":
            changes["output"] = ForecastOutput(thresholds_mm_h=THRESHOLDS)
    with pytest.raises(ValueError, match=pattern):
        write_netcdf(full(rain, probability, members, **changes), tmp_path / "f.nc")
    assert not list(tmp_path.iterdir())


def test_rounding_in_float32_is_no_error(tmp_path, rain, probability, members):
    probability[0] = np.where(np.isnan(rain), np.nan, np.float32(1 + 1e-6))
    probability[1] = probability[0] + np.float32(1e-6)
    write_netcdf(full(rain, probability, members), tmp_path / "f.nc")
    with xr.open_dataset(tmp_path / "f.nc") as opened:
        assert np.nanmax(opened["probability_of_exceedance"].values) == 1
