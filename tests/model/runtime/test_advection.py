"""Advection, against its definition."""

import cv2
import numpy as np
import pytest

from model.runtime.advection import advect, trajectories

SHAPE = (300, 560)
"""Larger than a tile both ways, and not of whole tiles, nor of whole cells of the lattice."""


def smooth(shape, length, seed):
    noise = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    field = cv2.GaussianBlur(noise, (0, 0), length)
    return field / field.std()


@pytest.fixture
def rain():
    return np.maximum(smooth(SHAPE, 4, 3) - 0.5, 0) * 6


@pytest.fixture
def motion():
    """As of rain: some pixels per step, changing over a hundred."""
    return np.dstack([4.3 + smooth(SHAPE, 60, 1), -2.6 + smooth(SHAPE, 60, 2)])


def bilinear(field, position):
    """Sum of weights times values over the known pixels around each position, and the sum of those weights."""
    known = np.isfinite(field)
    total, weights = np.zeros(SHAPE), np.zeros(SHAPE)
    x, y = position[..., 0].astype(float), position[..., 1].astype(float)
    for down in (0, 1):
        for right in (0, 1):
            column, row = np.floor(x).astype(int) + right, np.floor(y).astype(int) + down
            inside = (column >= 0) & (column < SHAPE[1]) & (row >= 0) & (row < SHAPE[0])
            column, row = np.where(inside, column, 0), np.where(inside, row, 0)
            weight = np.where(inside & known[row, column], (1 - abs(x - column)) * (1 - abs(y - row)), 0)
            total += weight * np.nan_to_num(field)[row, column]
            weights += weight
    return total, weights


@pytest.mark.parametrize("gaps", ["none", "disc", "specks", "every other", "all"])
@pytest.mark.parametrize("dry", [False, True])
def test_every_pixel_follows_the_definition(rain, motion, gaps, dry):
    if dry:
        rain[:, 100:] = 0
    rows, columns = np.indices(SHAPE)
    unknown = {
        "none": np.zeros(SHAPE, bool),
        "disc": (rows - 150) ** 2 + (columns - 200) ** 2 > 130**2,
        "every other": (rows + columns) % 2 == 0,
        "specks": np.random.default_rng(4).random(SHAPE) < 0.3,
        "all": np.ones(SHAPE, bool),
    }[gaps]
    rain[unknown] = np.nan
    for origins in trajectories(motion, 3):
        moved = advect(rain, origins)
        total, weights = bilinear(rain, origins.positions())
        # Positions are taken to a 32nd of a pixel.
        known = weights > 0.5 + 1 / 16
        assert np.isnan(moved[weights < 0.5 - 1 / 16]).all()
        assert np.isfinite(moved[known]).all()
        assert np.abs(moved[known] - (total[known] / weights[known])).max(initial=0) < 0.25
        assert np.abs(moved[known] - (total[known] / weights[known])).mean() < 0.01 if known.any() else True


def test_parcels_between_those_followed_started_where_they_would_have_been_followed_to(motion):
    rows, columns = np.indices(SHAPE, dtype=np.float32)
    exact = np.dstack([columns, rows])
    for origins in trajectories(motion, 12):
        exact = exact - cv2.remap(motion, exact, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        assert np.linalg.norm(origins.positions() - exact, axis=-1).max() < 0.25


def test_zero_motion_is_the_identity_exactly_gaps_included(rain):
    rain[40:200, 300:] = np.nan
    rain[::7, ::11] = np.nan
    for origins in trajectories(np.zeros((*SHAPE, 2), np.float32), 3):
        assert np.array_equal(advect(rain, origins), rain, equal_nan=True)


def test_dry_pixels_stay_dry_and_inflow_is_without_data():
    motion = np.full((*SHAPE, 2), (10.5, 0), np.float32)
    moved = advect(np.zeros(SHAPE, np.float32), next(trajectories(motion, 1)))
    assert np.isnan(moved[:, :10]).all()
    assert not moved[:, 11:].any()


@pytest.mark.parametrize("along", [(0, 900), (0, -900), (900, 0), (-900, 0)])
def test_all_of_it_blown_away_leaves_nothing_known(rain, along):
    motion = np.full((*SHAPE, 2), along, np.float32)
    assert np.isnan(advect(rain, next(trajectories(motion, 1)))).all()


def test_it_can_be_written_in_place(rain, motion):
    frames = np.full((2, *SHAPE), -1, np.float32)
    origins = next(trajectories(motion, 1))
    advect(rain, origins, out=frames[1])
    assert np.array_equal(frames[1], advect(rain, origins), equal_nan=True)
    assert (frames[0] == -1).all()
