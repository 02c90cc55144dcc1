"""The protocol of MS-RNN: clips, frames and scored outputs over the input, computed by hand."""

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
from model.verify.cli import verify as command
from model.verify.json_output import common_protocol
from model.verify.masking import MSRNNMasking
from model.verify.protocols import HKO7_FIXED, MS_RNN
from model.verify.run import verify

START = np.datetime64("2015-06-01T00:00", "s")
SIX_MINUTES = np.timedelta64(6, "m")
PIXEL = 150
"""5 to 10 mm/h."""


@pytest.fixture
def grid():
    """Return a grid on which resizing to 128 x 128 is a mean over 2 x 2 pixels."""
    return Grid.regular(CRS.from_epsg(32650), shape=(256, 256), pixel_size=1000.0, centre=(0.0, 0.0))


@pytest.fixture
def moving(pixel_archive):
    """Return an archive of one clip: a block of 8 x 16 pixels that moves by 8 from frame to frame, all masked."""
    frames = {}
    for index in range(20):
        frame = np.zeros((256, 256), np.uint8)
        frame[:8, 8 * index : 8 * index + 16] = PIXEL
        frames[36 * index] = frame
    frames[36 * 5][254:, 254:] = 40  # noise
    return pixel_archive(frames, exclude=np.ones((256, 256)))


def first_frames(present):
    """Return the first frame of each clip of an archive with the frames `present`, in frames of 6 min."""
    clips = MS_RNN.selection.cases(START + SIX_MINUTES * np.array(present), 6.0, 10)
    return [int((clip.context_times[0] - START) / SIX_MINUTES) for clip in clips]


def test_a_clip_is_twenty_frames_of_36_minutes_and_the_next_shares_none():
    # 20 x 6 = 120 of the archive's frames a clip, as in the loader; the last one read is 114 after the first.
    assert first_frames(range(480)) == [0, 120, 240, 360]
    assert first_frames(range(115)) == [0]
    assert first_frames(range(114)) == []


def test_a_missing_frame_leaves_out_a_clip_only_if_the_clip_reads_it():
    assert first_frames([frame for frame in range(480) if frame != 43]) == [0, 120, 240, 360]
    # Without 42 there is no clip from 0, nor from 6, .. 42; there is one from 1, and then every 120 frames.
    assert first_frames([frame for frame in range(480) if frame != 42]) == [1, 121, 241, 361]


def test_a_clip_never_spans_a_gap():
    # No clip of 115 frames ends before 300; from 400 on there are two.
    assert first_frames([*range(200, 300), *range(400, 640)]) == [400, 520]


def test_leads_are_the_frames_after_the_first_including_outputs_over_the_input():
    (clip,) = MS_RNN.selection.cases(START + SIX_MINUTES * np.arange(120), 6.0, 10)
    assert clip.lead_minutes == tuple(36.0 * frame for frame in range(-8, 11))
    assert (clip.steps, len(clip.context_times)) == (10, 10)
    assert str(clip.start) == "2015-06-01T05:24:00"


def test_frames_are_resized_to_whole_pixel_values_within_the_same_edges(pixel_archive):
    frame = np.zeros((256, 256), np.uint8)
    frame[100, 40:42], frame[101, 40:42] = (200, 100), (40, 20)
    archive = pixel_archive({0: frame})
    fraction, valid = MSRNNMasking().read_truth(archive, START)
    assert fraction[50, 20] == np.float32(90) / np.float32(255)
    assert np.count_nonzero(fraction) == 1
    assert valid.all()
    grid = MSRNNMasking().grid(archive)
    assert grid.shape == (128, 128)
    assert grid.pixel_size_m == pytest.approx((2000, 2000))
    assert (grid.x[0], grid.y[0]) == pytest.approx((archive.grid.x[:2].mean(), archive.grid.y[:2].mean()))


def test_scores_by_hand(moving):
    verification = verify(moving, [Persistence()], MS_RNN)
    name = "persistence@1"
    # Blocks of 4 x 8: of the frame before half is hit; from the newest frame (the tenth) on, all is missed but once.
    csi = verification.csi(name)
    assert csi[:3] == pytest.approx(np.tile([1 / 3] * 10 + [0] * 9, (3, 1)))
    assert np.nan_to_num(csi[3:]).max() == 0
    assert verification.mean_intervals(name, "csi").value[0] == pytest.approx(10 / 3 / 19)
    total = 128 * 128
    by_chance = (32 * 32 + (total - 32) ** 2) / total
    assert verification.score(name, "hss")[0, :10] == pytest.approx((total - 32 - by_chance) / (total - by_chance))

    p, noise = PIXEL / 255, 40 / 255
    squares = np.array([32 * p**2] * 10 + [64 * p**2] * 9)
    squares[[4, 5]] += noise**2  # in the sixth frame, and in the output of persistence after it
    errors = verification.errors(name)
    assert errors["mse"] == pytest.approx(squares, rel=1e-5)
    assert errors["psnr_db"] == pytest.approx(10 * np.log10(1 / (squares / total + 1e-5)), rel=1e-5)
    assert errors["b_mae"][0] == pytest.approx(16 * 5 * p + 16 * p, rel=1e-5)


def test_a_frame_without_an_error_has_a_psnr_of_50_db(pixel_archive):
    frame = np.full((256, 256), PIXEL, np.uint8)
    verification = verify(pixel_archive({36 * index: frame for index in range(20)}), [], MS_RNN)
    assert verification.errors("persistence@1")["psnr_db"] == pytest.approx(np.full(19, 50.0), rel=1e-3)


def test_extrapolation_over_its_input_follows_the_motion_seen_so_far():
    storms = synthesise(frames=6, shape=(96, 96), step_minutes=36.0, seed=4)
    outputs = rollout(storms, Extrapolation(), 2)
    assert len(outputs) == 7
    assert np.array_equal(outputs[0], storms.rain_rate[0], equal_nan=True)
    assert np.array_equal(outputs[5:], nowcast(storms, Extrapolation(), 2).rain_rate, equal_nan=True)
    for frame in range(1, 5):
        prefix = SimpleNamespace(rain_rate=storms.rain_rate[max(0, frame - 2) : frame + 1])
        assert np.array_equal(outputs[frame], next(Extrapolation().frames(prefix, 1)), equal_nan=True)
    assert rollout(storms, Persistence(), 1)[:5] == pytest.approx(storms.rain_rate[:5], nan_ok=True)


def test_a_recurrent_package_is_scored_by_the_outputs_of_its_network(package_of, moving):
    import torch

    from model.nets.forecast_model import FrameBatch, load_model

    info = package_of("ms-predrnn in MS-RNN")
    verification = verify(moving, [load_predictor(info)], MS_RNN)

    truth = np.stack([MSRNNMasking().read_truth(moving, time)[0] for time in moving.times])[None, :, None]
    seen = torch.from_numpy(truth[:, :10])
    with torch.inference_mode():
        read = FrameBatch(seen, torch.ones_like(seen), torch.tensor([36.0]))
        outputs = load_model(info.folder).rollout(read, 10, 10).frames.numpy()
    errors = verification.errors("mine@1")
    assert np.ptp(errors["mse"]) > 1
    for name, score in (("mse", mse), ("mae", mae), ("ssim", ssim)):
        assert errors[name] == pytest.approx(score(outputs, truth[:, 1:]), rel=1e-3)


@pytest.mark.parametrize(
    ("network", "fields", "error", "match"),
    [
        ("tau", {}, InputError, "mine@1 reads all frames at once: .*Leave that model out"),
        ("ms-predrnn in MS-RNN", {"frame_of_reference": "lagrangian"}, InputError, "mine@1 reads frames warped"),
        ("ms-predrnn in MS-RNN", {"input_frames": 12}, TooFewFrames, "provides 10 input frames, a model requires 12"),
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
    with pytest.raises(IrregularTimeStep, match="10 min apart, the protocol requires frames every 6 min"):
        verify(band, [], MS_RNN)


def test_tables_page_and_json_mark_the_leads_over_the_input(moving, tmp_path):
    words = ["--archive", moving.root, "--protocol", "ms-rnn", "--report", tmp_path]
    result = CliRunner(env={"COLUMNS": "80"}).invoke(command, list(map(str, words)))
    assert result.exit_code == 0, result.output
    assert max(map(len, result.stdout.splitlines())) <= 80
    title = "CSI, mean over leads of -288 to 360 min (to 0: over the input)"
    page = (tmp_path / "verification.html").read_text()
    assert title in result.stdout
    assert title in page
    assert page.count("data:image/png;base64,") == 9  # truth and two models, at 36, 180 and 360 min
    assert "all leads, LPIPS of the plotted leads" in page

    output = json.loads((tmp_path / "verification.json").read_text())
    assert output["lead_minutes"] == output["ssim_psnr_lead_minutes"] == [36.0 * frame for frame in range(-8, 11)]
    assert output["pixel_km"] == 2.0
    scores = output["models"]["extrapolation@1"]
    assert None not in scores["ssim"] + scores["psnr_db"]
    assert list(scores["spectrum"]) == ["36", "180", "360"]
    with pytest.raises(InputError, match="must not mix scores of different protocols: hko7-fixed@1, ms-rnn@1"):
        common_protocol([output, {"protocol": HKO7_FIXED.name}])
