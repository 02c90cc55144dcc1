"""Tiles cover a domain without seams: in weights, and in a forecast of the shipped package."""

import numpy as np
import pytest

from model.core.catalog import Catalog
from model.data.synth import synthesise
from model.runtime.load import load_predictor
from model.runtime.onnx import OneStepSession
from model.runtime.predictor import nowcast
from model.runtime.tiles import tiles_of


@pytest.mark.parametrize("shape", [(64, 64), (640, 720), (1040, 1040), (2208, 1904), (3504, 7008)])
def test_weights_add_up_to_one_and_tiles_are_bounded(shape):
    total = np.zeros(shape, np.float32)
    tiles = tiles_of(shape, 16)
    for tile in tiles:
        total[tile.rows, tile.columns] += tile.weight
        assert tile.weight.shape == tiles[0].weight.shape
        assert max(tile.weight.shape) <= 1024
        assert tile.rows.start % 16 == tile.columns.start % 16 == 0
    assert np.abs(total - 1).max() < 1e-5


def test_a_tiled_forecast_is_the_untiled_one_but_for_the_halo(monkeypatch):
    sequence = synthesise(frames=4, shape=(320, 480), step_minutes=5.0, seed=2)
    predictor = load_predictor(Catalog().find("rain-ms-predrnn"))
    whole = nowcast(sequence, predictor, 6).rain_rate
    monkeypatch.setattr(OneStepSession, "tile_side", 256)
    tiled = nowcast(sequence, predictor, 6).rain_rate
    assert np.array_equal(np.isnan(whole), np.isnan(tiled))
    difference = np.abs(np.nan_to_num(whole) - np.nan_to_num(tiled))
    assert 0 < difference.max() < 0.1 * np.nanmax(whole)
    assert difference.mean() < 0.01 * np.nanmean(whole)
