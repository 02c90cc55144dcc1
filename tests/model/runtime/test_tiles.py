"""Tiles cover a domain without seams, and omit dry areas: their weights, and forecasts of the shipped package."""

import numpy as np
import pytest

from model.core.catalog import Catalog
from model.core.forecast_output import ForecastOutput
from model.core.sequence import FrameSequence
from model.data.synthetic_storms import synthesise
from model.runtime.device import EngineOptions
from model.runtime.load import load_predictor
from model.runtime.request import ForecastRequest
from model.runtime.tiles import OVERLAP, Blend, tiles_of


@pytest.mark.parametrize("shape", [(64, 64), (640, 720), (1040, 1040), (2208, 1904), (3504, 7008)])
def test_tiles_are_bounded_and_equal_tiles_blend_to_the_same_value(shape):
    tiles = tiles_of(shape, 16)
    assert len({tile.shape for tile in tiles}) == 1
    for tile in tiles:
        assert max(tile.shape) <= 1024
        assert tile.rows.start % 16 == tile.columns.start % 16 == 0
    same = Blend(shape, tiles).planes((tile, np.full((1, *tile.shape), 0.5, np.float32)) for tile in tiles)[0]
    assert same.shape == shape
    assert np.abs(same - 0.5).max() < 1e-6


def test_the_weight_of_a_tile_vanishes_near_an_edge_within_the_domain():
    shape = (64, 2000)
    first, *_ = tiles = tiles_of(shape, 16)
    told = Blend(shape, tiles).planes(
        (tile, np.full((1, *tile.shape), float(tile is first), np.float32)) for tile in tiles
    )[0]
    edge = first.columns.stop
    assert told[:, edge - OVERLAP // 4 : edge].max() < 0.01
    assert told[:, : edge - OVERLAP].min() == 1


def rainy_spots(shape, spots):
    wet = np.zeros(shape, bool)
    for row, column in spots:
        wet[row : row + 20, column : column + 20] = True
    return wet


def test_tiles_cover_rain_and_its_surroundings_only():
    shape, spots = (1024, 1536), [(100, 200), (130, 260), (800, 1200), (1000, 20)]
    wet = rainy_spots(shape, spots)
    tiles = tiles_of(shape, 16, wet=wet)
    assert sum(tile.pixels for tile in tiles) < 0.15 * wet.size
    for row, column in spots:
        rows, columns = slice(max(0, row - 48), row + 68), slice(max(0, column - 48), column + 68)
        assert any(
            tile.rows.start <= rows.start
            and min(rows.stop, shape[0]) <= tile.rows.stop
            and tile.columns.start <= columns.start
            and columns.stop <= tile.columns.stop
            for tile in tiles
        )
    assert not tiles_of(shape, 16, wet=np.zeros(shape, bool))
    assert [tile.shape for tile in tiles_of(shape, 16, wet=np.ones(shape, bool))] == [
        tile.shape for tile in tiles_of(shape, 16)
    ]


def test_wet_tiles_are_bounded_too():
    wet = np.zeros((640, 4000), bool)
    wet[300:330, 100:3900] = True
    tiles = tiles_of(wet.shape, 16, side=512, wet=wet)
    assert max(max(tile.shape) for tile in tiles) <= 512
    covered = np.zeros(wet.shape, bool)
    for tile in tiles:
        covered[tile.rows, tile.columns] = True
    assert covered[wet].all()


def forecast(sequence, **options):
    """The mean: the cuts of the sharp field are those of a tile."""
    predictor = load_predictor(Catalog().find("rain-ms-predrnn"), options=EngineOptions(**options))
    request = ForecastRequest.fit(sequence, predictor.info, 6, output=ForecastOutput(field="expected"))
    return np.stack([event.frame for event in predictor.forecast([request]) if event.frame is not None])


def test_a_tiled_forecast_is_the_untiled_one_but_for_the_halo():
    sequence = synthesise(frames=4, shape=(320, 480), step_minutes=5.0, seed=2)
    whole = forecast(sequence, skip_dry=False, variant="fp32")
    tiled = forecast(sequence, skip_dry=False, variant="fp32", memory_mb=40)  # small tiles, in waves
    assert np.array_equal(np.isnan(whole), np.isnan(tiled))
    difference = np.abs(np.nan_to_num(whole) - np.nan_to_num(tiled))
    assert 0 < difference.max() < 0.02 * np.nanmax(whole)
    assert difference.mean() < 0.002 * np.nanmean(whole)


def test_a_forecast_of_wet_tiles_alone_is_the_full_one_but_for_drizzle():
    storms = synthesise(frames=4, shape=(400, 640), step_minutes=5.0, seed=2)
    rain = np.where(np.arange(640) < 160, storms.rain_rate, np.where(np.isfinite(storms.rain_rate), 0, np.nan))
    sequence = FrameSequence(rain.astype(np.float32), storms.times, storms.grid)
    full = forecast(sequence, skip_dry=False, variant="fp32")
    wet = forecast(sequence, variant="fp32")
    assert np.array_equal(np.isnan(full), np.isnan(wet))
    assert not np.array_equal(full, wet, equal_nan=True)  # not all was computed
    assert np.nanmax(wet) > 1
    assert np.nanmax(np.abs(full - wet)) < 0.1
