"""Frames and animations: what a viewer sees."""

import io
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from PIL import Image

from model.core.colour_scale import GROUND, NO_DATA
from model.core.rain_scale import RAIN_CLASSES
from service.render.animation import LabelledFrame, animate, side_of
from service.render.picture import frame_png


def rgba(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))


def test_dry_is_transparent_and_no_data_is_opaque_grey():
    rain = np.zeros((90, 120), np.float32)
    rain[:, 60:] = np.nan
    rain[40:50, 10:20] = 25.0
    picture = rgba(frame_png(rain))
    assert picture.shape == (540, 720, 4)
    assert not picture[:200, :350, 3].any()
    hatched = picture[:, 360:]
    assert (hatched[..., 3] == 255).all()
    assert {tuple(colour) for colour in hatched[..., :3].reshape(-1, 3)} == set(NO_DATA)
    assert tuple(picture[45 * 6, 15 * 6]) == (*RAIN_CLASSES[6].colour, 255)


def test_a_large_grid_is_not_enlarged():
    assert rgba(frame_png(np.zeros((700, 800), np.float32))).shape == (700, 800, 4)


@pytest.mark.parametrize("file_format", ["webp", "gif"])
def test_an_animation_has_every_frame_and_marks_the_forecast(file_format):
    start = datetime(2026, 6, 1, 12, tzinfo=UTC)
    frames = [
        LabelledFrame(
            np.full((64, 64), 3.0 + abs(lead), np.float32),
            start + timedelta(minutes=lead),
            lead,
            forecast=lead > 0,
        )
        for lead in (-5, 0, 5, 10)
    ]
    moving = Image.open(io.BytesIO(animate(frames, side=side_of(4), file_format=file_format, title="persistence@1")))
    assert moving.n_frames == 4
    bars = []
    for number in range(4):
        moving.seek(number)
        page = np.asarray(moving.convert("RGB"))
        bars.append(tuple(page[2, 5]))
        assert tuple(page[200, 200]) != GROUND
    assert bars[0] == bars[1] != bars[2] == bars[3]
