"""MS-RNN's protocol: its clips, its frames, answers over the input among the scores, all worked out by hand."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from pyproj import CRS

from model.core.errors import InputError, IrregularTimeStep, TooFewFrames
from model.core.grid import Grid
from model.core.manifest import TimeStepRange
from model.data.synthetic_storms import synthesise
from model.metrics import mae, mse, ssim
from model.runtime.baselines import Extrapolation, Persistence
from model.runtime.load import load_predictor
from model.runtime.nowcast import nowcast, rollout
from model.verify.answer import one_protocol
from model.verify.cli import verify as command
from model.verify.protocol import HKO7_FIXED, MS_RNN, verify
from model.verify.rules import Shrunk

START = np.datetime64("2015-06-01T00:00", "s")
SIX_MINUTES = np.timedelta64(6, "m")
PIXEL = 150
"""5 to 10 mm/h."""


@pytest.fixture
def grid():
    """So that shrinking is a mean over 2 x 2 pixels."""
    return Grid.regular(CRS.from_epsg(32650), shape=(256, 256), pixel_size=1000.0, centre=(0.0, 0.0))


@pytest.fixture
def moving(pixel_archive):
    """One clip: a block of 8 x 16 pixels that moves by 8 from frame to frame; nothing of it counts elsewhere."""
    frames = {}
    for index in range(20):
        frame = np.zeros((256, 256), np.uint8)
        frame[:8, 8 * index : 8 * index + 16] = PIXEL
        frames[36 * index] = frame
    frames[36 * 5][254:, 254:] = 40  # noise
    return pixel_archive(frames, exclude=np.ones((256, 256)))


def begins(there):
    """Frame of 6 min that each clip begins with, of an archive that has these."""
    windows = MS_RNN.windows.of(START + SIX_MINUTES * np.array(there), 6.0, 10)
    return [int((window.context[0] - START) / SIX_MINUTES) for window in windows]


def test_a_clip_is_twenty_frames_of_36_minutes_and_the_next_shares_none():
    # 20 x 6 = 120 of the archive's frames a clip, as in the loader; the last one read is 114 after the first.
    assert begins(range(480)) == [0, 120, 240, 360]
    assert begins(range(115)) == [0]
    assert begins(range(114)) == []


def test_a_clip_with_a_frame_missing_is_left_out_and_one_that_is_not_read_may_be():
    assert begins([frame for frame in range(480) if frame != 43]) == [0, 120, 240, 360]
    # Without 42 there is no clip from 0, nor from 6, .. 42; there is one from 1, and then every 120 frames.
    assert begins([frame for frame in range(480) if frame != 42]) == [1, 121, 241, 361]


def test_a_clip_never_spans_a_gap():
    # No clip of 115 frames ends before 300; from 400 on there are two.
    assert begins([*range(200, 300), *range(400, 640)]) == [400, 520]


def test_leads_are_the_frames_after_the_first_answers_over_the_input_among_them():
    (window,) = MS_RNN.windows.of(START + SIX_MINUTES * np.arange(120), 6.0, 10)
    assert window.lead_minutes == tuple(36.0 * frame for frame in range(-8, 11))
    assert (window.steps, len(window.context)) == (10, 10)
    assert str(window.start) == "2015-06-01T05:24:00"


def test_frames_are_shrunk_in_whole_pixels_within_the_same_edges(pixel_archive):
    frame = np.zeros((256, 256), np.uint8)
    frame[100, 40:42], frame[101, 40:42] = (200, 100), (40, 20)
    archive = pixel_archive({0: frame})
    fraction, counts = Shrunk().truth(archive, START)
    assert fraction[50, 20] == np.float32(90) / np.float32(255)
    assert np.count_nonzero(fraction) == 1
    assert counts.all()
    grid = Shrunk().grid(archive)
    assert grid.shape == (128, 128)
    assert grid.pixel_size_m == pytest.approx((2000, 2000))
    assert (grid.x[0], grid.y[0]) == pytest.approx((archive.grid.x[:2].mean(), archive.grid.y[:2].mean()))


def test_scores_by_hand(moving):
    found = verify(moving, [Persistence()], MS_RNN)
    name = "persistence@1"
    # Blocks of 4 x 8: of the frame before half is hit; from the newest frame (the tenth) on, all is missed but once.
    csi = found.csi(name)
    assert csi[:3] == pytest.approx(np.tile([1 / 3] * 10 + [0] * 9, (3, 1)))
    assert np.nan_to_num(csi[3:]).max() == 0
    assert found.mean_intervals(name, "csi").value[0] == pytest.approx(10 / 3 / 19)
    total = 128 * 128
    by_chance = (32 * 32 + (total - 32) ** 2) / total
    assert found.score(name, "hss")[0, :10] == pytest.approx((total - 32 - by_chance) / (total - by_chance))

    p, noise = PIXEL / 255, 40 / 255
    squares = np.array([32 * p**2] * 10 + [64 * p**2] * 9)
    squares[[4, 5]] += noise**2  # in the sixth frame, and in persistence's answer to it
    errors = found.errors(name)
    assert errors["mse"] == pytest.approx(squares, rel=1e-5)
    assert errors["psnr_db"] == pytest.approx(10 * np.log10(1 / (squares / total + 1e-5)), rel=1e-5)
    assert errors["b_mae"][0] == pytest.approx(16 * 5 * p + 16 * p, rel=1e-5)


def test_a_frame_without_an_error_has_a_psnr_of_50_db(pixel_archive):
    frame = np.full((256, 256), PIXEL, np.uint8)
    found = verify(pixel_archive({36 * index: frame for index in range(20)}), [], MS_RNN)
    assert found.errors("persistence@1")["psnr_db"] == pytest.approx(np.full(19, 50.0), rel=1e-3)


def test_extrapolation_over_its_input_follows_the_motion_seen_so_far():
    storms = synthesise(frames=6, shape=(96, 96), step_minutes=36.0, seed=4)
    answers = rollout(storms, Extrapolation(), 2)
    assert len(answers) == 7
    assert np.array_equal(answers[0], storms.rain_rate[0], equal_nan=True)
    assert np.array_equal(answers[5:], nowcast(storms, Extrapolation(), 2).rain_rate, equal_nan=True)
    for frame in range(1, 5):
        prefix = SimpleNamespace(rain_rate=storms.rain_rate[max(0, frame - 2) : frame + 1])
        assert np.array_equal(answers[frame], next(Extrapolation().frames(prefix, 1)), equal_nan=True)
    assert rollout(storms, Persistence(), 1)[:5] == pytest.approx(storms.rain_rate[:5], nan_ok=True)


def test_a_recurrent_package_is_scored_by_its_networks_own_answers(package_of, moving):
    import torch

    from model.nets.forecast_model import FrameBatch, load_model

    info = package_of("ms-predrnn in MS-RNN")
    found = verify(moving, [load_predictor(info)], MS_RNN)

    truth = np.stack([Shrunk().truth(moving, time)[0] for time in moving.times])[None, :, None]
    seen = torch.from_numpy(truth[:, :10])
    with torch.inference_mode():
        read = FrameBatch(seen, torch.ones_like(seen), torch.tensor([36.0]))
        answers = load_model(info.folder).rollout(read, 10, 10).frames.numpy()
    errors = found.errors("mine@1")
    assert np.ptp(errors["mse"]) > 1
    for name, score in (("mse", mse), ("mae", mae), ("ssim", ssim)):
        assert errors[name] == pytest.approx(score(answers, truth[:, 1:]), rel=1e-3)


@pytest.mark.parametrize(
    ("network", "fields", "error", "match"),
    [
        ("tau", {}, InputError, "mine@1 reads all frames at once: .*Leave that model out"),
        (
            "ms-predrnn in MS-RNN",
            {"frame_of_reference": "lagrangian"},
            InputError,
            "mine@1 reads frames warped",
        ),
        ("ms-predrnn in MS-RNN", {"input_frames": 12}, TooFewFrames, "gives 10 frames, a model wants 12"),
        (
            "ms-predrnn in MS-RNN",
            {"time_step": TimeStepRange(min_minutes=2, max_minutes=15)},
            InputError,
            "frames step by 36 min, mine@1 takes 2 to 15 min",
        ),
    ],
)
def test_packages_that_cannot_be_scored_are_refused_by_name(package_of, moving, network, fields, error, match):
    with pytest.raises(error, match=match):
        verify(moving, [load_predictor(package_of(network, **fields))], MS_RNN)


def test_another_time_step_is_refused(band):
    with pytest.raises(IrregularTimeStep, match="10 min apart, the protocol is of frames every 6 min"):
        verify(band, [], MS_RNN)


def test_tables_page_and_json_say_which_leads_lie_over_the_input(moving, tmp_path):
    words = ["--archive", moving.root, "--protocol", "ms-rnn", "--report", tmp_path]
    result = CliRunner(env={"COLUMNS": "80"}).invoke(command, list(map(str, words)))
    assert result.exit_code == 0, result.output
    assert max(map(len, result.stdout.splitlines())) <= 80
    said = "CSI, mean over leads of -288 to 360 min (to 0: over the input)"
    page = (tmp_path / "verification.html").read_text()
    assert said in result.stdout
    assert said in page
    assert page.count("data:image/png;base64,") == 9  # truth and two models, at 36, 180 and 360 min
    assert "all leads, LPIPS of those that are pictured" in page

    answer = json.loads((tmp_path / "verification.json").read_text())
    assert answer["lead_minutes"] == answer["ssim_psnr_lead_minutes"] == [36.0 * frame for frame in range(-8, 11)]
    assert answer["pixel_km"] == 2.0
    scores = answer["models"]["extrapolation@1"]
    assert None not in scores["ssim"] + scores["psnr_db"]
    assert list(scores["spectrum"]) == ["36", "180", "360"]
    with pytest.raises(InputError, match="never put in one table: hko7-fixed@1, ms-rnn@1"):
        one_protocol([answer, {"protocol": HKO7_FIXED.name}])
