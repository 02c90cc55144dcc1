"""`echocast nowcast` with fields, probabilities and members, as a user would type it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from pyproj import CRS

from model.core.forecast_file import write_netcdf
from model.core.grid import Grid
from model.core.sequence import FrameSequence
from tests.predictors import DistributionPredictor

Echocast = Callable[..., tuple[int, str, str]]
NOWCAST = ("nowcast", "--steps", "2", "--model", "extrapolation")


@pytest.fixture
def radar(tmp_path: Path) -> Path:
    """Three frames: 3 mm/h in the western quarter, dry in the middle, no data in the eastern half."""
    rain = np.zeros((3, 20, 40), np.float32)
    rain[:, :, :10] = 3.0
    rain[:, :, 20:] = np.nan
    times = np.datetime64("2026-06-01T12:00", "ns") + np.arange(3) * np.timedelta64(5, "m")
    grid = Grid.regular(CRS.from_epsg(3035), shape=(20, 40), pixel_size=1000.0, centre=(4e6, 3e6))
    write_netcdf(FrameSequence(rain_rate=rain, times=times, grid=grid), tmp_path / "radar.nc")
    return tmp_path / "radar.nc"


@pytest.fixture
def with_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model has a distribution."""
    monkeypatch.setattr("model.commands.load_predictor", lambda *_: DistributionPredictor())


@pytest.mark.usefixtures("with_distribution")
def test_probabilities_and_members_are_written_and_summarised(echocast: Echocast, radar: Path, tmp_path: Path) -> None:
    asked = ("--probabilities", "0.1,2,10", "--members", "4", "--seed", "7", "--json")
    code, out, err = echocast(*NOWCAST, radar, "--out", tmp_path / "n.nc", *asked)
    assert (code, err) == (0, "")
    summary = json.loads(out)
    assert (summary["field"], summary["members"], summary["seed"]) == ("deterministic", 4, 7)
    assert summary["thresholds_mm_h"] == [0.1, 2, 10]
    assert summary["probability_method"] == "neighbourhood"
    lead = summary["leads"][1]
    assert (lead["rain_area_percent"], lead["no_data_percent"]) == (50, 50)
    assert lead["likely_area_percent"] == [50, 50, 0]
    assert lead["members_rain_area_percent"] == [0, 50]
    with xr.open_dataset(tmp_path / "n.nc") as opened:
        assert opened["probability_of_exceedance"].shape == (3, 2, 20, 40)
        assert opened["rainfall_rate"].shape == (4, 2, 20, 40)
        assert opened["rainfall_rate_deterministic"].shape == (2, 20, 40)
        assert opened.attrs["members_seed"] == 7


@pytest.mark.usefixtures("with_distribution")
@pytest.mark.parametrize("words", [("--probabilities",), ("--probabilities", "default")])
def test_the_usual_thresholds_need_no_list(
    echocast: Echocast, radar: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    code, out, _ = echocast(*NOWCAST, radar, "--out", tmp_path / "n.nc", *words)
    assert code == 0
    assert "likely: area where 0.1 mm/h has a probability of at least 50 % (neighbourhood)" in " ".join(out.split())
    with xr.open_dataset(tmp_path / "n.nc") as opened:
        assert opened["threshold"].values.tolist() == [0.1, 0.5, 2, 5, 10]


def test_a_nowcast_of_a_field_alone_is_summarised_as_before(echocast: Echocast, radar: Path, tmp_path: Path) -> None:
    code, out, _ = echocast(*NOWCAST, radar, "--out", tmp_path / "n.nc", "--json")
    summary = json.loads(out)
    assert (code, summary["field"], summary["probability_method"], summary["seed"]) == (0, "deterministic", None, None)
    assert set(summary["leads"][0]) == {
        "lead_minutes", "valid_time", "rain_area_percent", "max_mm_h", "no_data_percent",
    }  # fmt: skip
    with xr.open_dataset(tmp_path / "n.nc") as opened:
        assert set(opened.data_vars) == {"rainfall_rate", "crs"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--field", "sharp"), ("extrapolation@1", "no distribution", "echocast models list")),
        (("--field", "sharpest"), ("'expected', 'median', 'sharp'",)),
        (("--probabilities", "0.5,heavy"), ("'0.5,heavy' is no list of rain rates", "0.5,2,5")),
        (("--probabilities", "5,2"), ("5, 2 mm/h do not ascend",)),
        (("--probabilities", "0.01"), ("out of range", "0.1 to 200")),
        (("--members", "1"), ("2 to 50",)),
        (("--members", "51"), ("2 to 50",)),
        (("--members", "4", "--seed", "-1"), ("0 to 4294967295",)),
        (("--model", "persistence", "--members", "4"), ("persistence@1 makes no members", "extrapolation")),
    ],
)
def test_what_the_model_cannot_give_is_one_line_and_no_file(
    echocast: Echocast, radar: Path, tmp_path: Path, words: tuple[str, ...], said: tuple[str, ...]
) -> None:
    code, out, err = echocast(*NOWCAST, radar, "--out", tmp_path / "n.nc", *words)
    assert (code, out) == (2, "")
    assert all(part in err for part in said), err
    assert "Traceback" not in err
    assert not (tmp_path / "n.nc").exists()
