"""Synthetic storms: the same for a seed, plausible as rain, and moving as they say."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

from model.core.errors import InputError
from model.core.forecast_file import write_netcdf
from model.core.sequence import FrameSequence
from model.data.archive import Archive
from model.data.cli import archive
from model.data.synthetic_storms import WEATHERS, Weather, as_radar_product, storms, synthesise, synthetic_grid

SMALL = {"frames": 4, "shape": (96, 128), "step_minutes": 5.0}


def test_the_same_seed_gives_the_same_frames_and_another_seed_others() -> None:
    one, again, other = (synthesise(**SMALL, seed=seed) for seed in (3, 3, 4))
    assert one.digest() == again.digest()
    assert one.digest() != other.digest()


def test_frames_are_those_of_a_radar_product() -> None:
    sequence = synthesise(**SMALL, seed=3)
    rain = sequence.rain_rate
    assert rain.shape == (4, 96, 128)
    assert sequence.time_step_minutes() == 5
    assert sequence.grid.pixel_size_m == pytest.approx((1000, 1000))
    assert np.isfinite(rain).all()
    assert ((rain == 0) | (rain >= 0.1)).all()
    assert rain.max() < 150
    np.testing.assert_allclose(as_radar_product(rain), rain, rtol=1e-5)  # half dBZ steps already


@pytest.mark.parametrize("weather", WEATHERS)
def test_every_weather_has_rain_dry_pixels_and_cores(weather: str) -> None:
    rain = synthesise(frames=2, shape=(256, 256), step_minutes=5, seed=11, weather=WEATHERS[weather]()).rain_rate
    wet = (rain > 0).mean()
    assert 0.05 < wet < 0.97
    assert rain.max() > 10
    assert (rain > 10).mean() < 0.1
    assert 0.05 < rain.mean() < 3


def test_storms_move_with_the_steering_wind() -> None:
    east = Weather(steering_speed=20, steering_towards_deg=90, shear=0, veering_deg_per_hour=0, texture_life=60)
    sequence = synthesise(frames=3, shape=(192, 192), step_minutes=5, seed=2, weather=east)
    first, last = np.log1p(sequence.rain_rate[0]), np.log1p(sequence.rain_rate[2])
    # 20 m/s for 10 min is 12 km: the best match of the two frames lies there.
    match = {shift: float((first[:, :140] * last[:, shift : 140 + shift]).mean()) for shift in range(25)}
    assert abs(max(match, key=match.__getitem__) - 12) <= 1


def test_storms_persist_more_than_they_change_and_keep_coming() -> None:
    grid = synthetic_grid((96, 96), 2000.0)
    sky = storms(grid, step_minutes=5, seed=1, weather=WEATHERS["convective"]())
    frames = [next(sky) for _ in range(60)]
    wet = [float((frame > 0).mean()) for frame in frames]
    assert min(wet) > 0.02
    pairs = [np.corrcoef(np.log1p(a).ravel(), np.log1p(b).ravel())[0, 1] for a, b in pairwise(frames)]
    later = np.corrcoef(np.log1p(frames[0]).ravel(), np.log1p(frames[40]).ravel())[0, 1]
    assert np.mean(pairs) > 0.6 > 0.5 > later


def test_sectors_without_data_are_nan_in_every_frame() -> None:
    sequence = synthesise(**SMALL, seed=3, no_data_sectors=2)
    blind = np.isnan(sequence.rain_rate)
    assert (blind == blind[0]).all()
    assert 0.05 < blind[0].mean() < 0.6
    assert not blind[0, 48, 64]


@pytest.mark.parametrize("wrong", [{"frames": 0}, {"shape": (8, 96)}, {"step_minutes": 0.0}, {"pixel_size_m": -1.0}])
def test_invalid_arguments_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError):
        synthesise(**{**SMALL, "seed": 0, **wrong})  # type: ignore[arg-type]


def test_the_command_writes_a_file_that_reads_back(tmp_path: Path) -> None:
    out = tmp_path / "storms.nc"
    result = CliRunner().invoke(archive, ["synth", str(out), "--frames", "3", "--size", "64x80", "--seed", "5"])
    assert result.exit_code == 0, result.output
    with xr.open_dataset(out) as dataset:
        read = FrameSequence.from_dataset(dataset.load())
    made = synthesise(frames=3, shape=(64, 80), step_minutes=5, seed=5)
    assert (read.times == made.times).all()
    np.testing.assert_allclose(read.rain_rate, made.rain_rate, atol=0.0051)


def test_the_command_writes_an_archive_and_prints_its_size(tmp_path: Path) -> None:
    out = tmp_path / "archive"
    run = CliRunner().invoke(archive, ["synth", str(out), "--frames", "3", "--size", "64", "--no-data", "1"])
    assert run.exit_code == 0, run.output
    told = json.loads(CliRunner().invoke(archive, ["info", str(out), "--json"]).output)
    assert (told["frames"], told["rows"], told["columns"], told["step_minutes"]) == (3, 64, 64, 5.0)
    assert told["missing_frames"] == 0
    frame = Archive(out).read(Archive(out).times[0])
    assert np.isnan(frame).any()
    assert np.nanmax(frame) > 0


def test_days_differ_from_each_other(tmp_path: Path) -> None:
    out = tmp_path / "days"
    run = CliRunner().invoke(archive, ["synth", str(out), "--days", "2", "--size", "32", "--step", "60"])
    assert run.exit_code == 0, run.output
    kept = Archive(out)
    assert kept.times.size == 48
    assert (kept.read(kept.times[0]) != kept.read(kept.times[24])).any()


def _one_frame(sequence: FrameSequence, index: int, path: Path) -> Path:
    """Frame `index` as a file of its own."""
    only = slice(index, index + 1)
    write_netcdf(
        FrameSequence(rain_rate=sequence.rain_rate[only], times=sequence.times[only], grid=sequence.grid), path
    )
    return path


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Three files of one frame each, and one that is no radar file."""
    folder = tmp_path / "in"
    folder.mkdir()
    made = synthesise(frames=3, shape=(48, 64), step_minutes=5, seed=9)
    broken = folder / "broken.nc"
    broken.write_bytes(b"not a radar file")
    return [*(_one_frame(made, index, folder / f"{index}.nc") for index in range(3)), broken]


def test_a_wrong_option_is_not_reported_for_every_file(files: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(30):
        (folder / f"{number:02}.nc").write_bytes(files[0].read_bytes())
    run = CliRunner().invoke(archive, ["import", str(folder), "--variable", "tp", "--out", str(tmp_path / "archive")])
    told = [line for line in run.output.splitlines() if line.startswith("skipped: ")]
    assert len(told) == 21
    assert "19.nc" in told[19]
    assert told[20].startswith("skipped: 10 more: ")
    assert "none of 30 files could be read" in str(run.exception)


def test_import_reads_what_it_can_names_the_rest_and_can_be_repeated(files: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "archive"
    run = CliRunner().invoke(archive, ["import", *map(str, files), "--out", str(out)])
    assert run.exit_code == 0, run.output
    assert "3 frames written, 0 already present, 1 files skipped" in run.output
    assert "broken.nc" in run.output
    assert Archive(out).step_minutes == 5
    again = CliRunner().invoke(archive, ["import", str(files[0].parent), "--out", str(out)])
    assert "0 frames written, 3 already present, 1 files skipped" in again.output


def test_a_file_on_another_grid_is_skipped_and_the_time_step_is_the_usual_one(tmp_path: Path) -> None:
    times = (0, 20, 25, 30)  # a gap between the first two files
    made = synthesise(frames=7, shape=(48, 64), step_minutes=5, seed=9)
    paths = [_one_frame(made, minutes // 5, tmp_path / f"{minutes:02}.nc") for minutes in times]
    other = _one_frame(synthesise(frames=2, shape=(32, 32), step_minutes=5, seed=9), 1, tmp_path / "15.nc")
    out = tmp_path / "archive"
    run = CliRunner().invoke(archive, ["import", *map(str, [paths[0], other, *paths[1:]]), "--out", str(out)])
    assert "4 frames written, 0 already present, 1 files skipped" in run.output
    assert f"{other}: it is on another grid" in run.output
    assert Archive(out).step_minutes == 5


def test_import_into_a_folder_of_other_files_is_refused(files: list[Path], tmp_path: Path) -> None:
    run = CliRunner().invoke(archive, ["import", *map(str, files[:3]), "--out", str(files[0].parent)])
    assert isinstance(run.exception, InputError)
    assert "not an archive" in str(run.exception)


def test_import_of_nothing_readable_is_bad_input(files: list[Path], tmp_path: Path) -> None:
    run = CliRunner().invoke(archive, ["import", str(files[3]), "--out", str(tmp_path / "archive")])
    assert isinstance(run.exception, InputError)
    assert not (tmp_path / "archive").exists()


def test_import_of_one_frame_asks_for_the_time_step(files: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "archive"
    run = CliRunner().invoke(archive, ["import", str(files[0]), "--out", str(out)])
    assert isinstance(run.exception, InputError)
    assert "--step" in str(run.exception)
    run = CliRunner().invoke(archive, ["import", str(files[0]), "--out", str(out), "--step", "5"])
    assert run.exit_code == 0, run.output


def test_the_bundled_sample_is_small_and_is_what_make_sample_makes(project: Path) -> None:
    path = project / "service" / "web" / "sample" / "sample.nc"
    assert path.stat().st_size < 300_000
    with xr.open_dataset(path) as dataset:
        kept = FrameSequence.from_dataset(dataset.load())
    made = synthesise(frames=8, shape=(320, 320), step_minutes=5, seed=14)
    assert kept.attributes["source"] == made.attributes["source"]
    # Another processor may round a Fourier transform otherwise: a pixel here and there by one half dBZ.
    assert (np.abs(kept.rain_rate - made.rain_rate) > 0.0051).mean() < 1e-3
