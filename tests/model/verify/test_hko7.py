"""The conventions of the HKO-7 benchmark, on small archives whose scores are computed by hand."""

import numpy as np
import pytest

from model.core.errors import IrregularTimeStep, TooFewFrames
from model.data.archive import Archive
from model.data.archive_writer import ArchiveWriter
from model.data.split import write_split
from model.metrics import balanced_weights, pixel_threshold
from model.runtime.baselines import Persistence
from model.verify.protocols import HKO7_FIXED
from model.verify.run import verify

SHAPE = (20, 30)
DRY = np.zeros(SHAPE, np.uint8)


def clips(archive):
    return list(HKO7_FIXED.selection.cases(archive.times, archive.step_minutes, 5))


def first_frames(archive):
    """Return the first frame of each clip, in frames of 6 min since midnight."""
    midnight = np.datetime64("2015-06-01T00:00", "s")
    return [int((clip.context_times[0] - midnight) / np.timedelta64(6, "m")) for clip in clips(archive)]


def test_thresholds_in_pixels():
    # dBZ = 10 log10(58.53) + 15.6 log10(R); pixel = 255 (dBZ + 10) / 70: 83.7, 117.9, 140.5, 157.6, 184.8 of 255.
    firsts = [int(np.ceil(255 * pixel_threshold(rain))) for rain in (0.5, 2, 5, 10, 30)]
    assert firsts == [84, 118, 141, 158, 185]


def test_weights_of_pixels():
    pixels = np.array([0, 70, 83, 84, 117, 118, 140, 141, 157, 158, 184, 185, 255], np.float32)
    assert balanced_weights(pixels / np.float32(255)).tolist() == [1, 1, 1, 1, 1, 2, 2, 5, 5, 10, 10, 30, 30]


def test_training_uses_the_same_weights():
    torch = pytest.importorskip("torch")
    from model.losses import pixel_weights

    pixels = np.arange(256, dtype=np.float32) / np.float32(255)
    assert np.array_equal(balanced_weights(pixels), pixel_weights(torch.from_numpy(pixels)).numpy())


def test_clips_start_every_five_frames_and_may_end_two_frames_late(pixel_archive):
    archive = pixel_archive({6 * frame: DRY for frame in range(33)})
    # 25 frames each: frames 0-24 and 5-29 whole; 10-34 lacks 33 and 34, two in a row; 15-39 lacks seven.
    # Then every later frame is tried as a first frame, and no clip has fewer missing.
    assert first_frames(archive) == [0, 5, 10]
    assert [len(clip.valid_times) for clip in clips(archive)] == [20, 20, 20]


def test_a_third_frame_missing_in_a_row_breaks_a_clip(pixel_archive):
    present = [frame for frame in range(60) if frame not in (7, 8, 26, 27, 28)]
    archive = pixel_archive({6 * frame: DRY for frame in present})
    # 0-24 lacks 7 and 8: it counts. 5-29 lacks 26 to 28, and so does every clip that starts before 29.
    # 29-53 is whole; 34-58; 39-63 lacks four at the end.
    assert first_frames(archive) == [0, 29, 34]


def test_a_clip_may_start_with_a_missing_frame(pixel_archive):
    archive = pixel_archive({6 * frame: DRY for frame in range(30) if frame != 5})
    assert first_frames(archive) == [0, 5]


def test_scores_by_hand(pixel_archive):
    now, then = DRY.copy(), DRY.copy()
    now[0, :4] = 150  # 5 to 10 mm/h
    then[0, 2:6] = 190  # above 30 mm/h: weight 30
    then[1, :10] = 70  # noise: not scored
    then[2, 0] = 190  # masked in each frame
    then[3, 0] = 190  # masked by the static mask
    counts, exclude = np.ones(SHAPE), np.zeros(SHAPE)
    counts[2, 0], exclude[3, 0] = 0, 1
    frames = {6 * frame: now if frame < 5 else then for frame in range(25)}
    del frames[6 * 24]  # the last lead: read as 0 and not scored
    archive = pixel_archive(frames, masks={6 * frame: counts for frame in range(5, 24)}, exclude=exclude)

    verification = verify(archive, [Persistence()], HKO7_FIXED)
    name = "persistence@1"
    # Forecast columns 0-3, truth 2-5: 2 hits, 2 misses, 2 false alarms up to 5 mm/h; above, 4 misses.
    assert verification.starts == 1
    assert verification.csi(name)[:3, :19] == pytest.approx(1 / 3)
    assert verification.csi(name)[3:, :19] == pytest.approx(0)
    assert np.isnan(verification.csi(name)[:, 19]).all()
    total = 20 * 30 - 10 - 2
    by_chance = (4 * 4 + (total - 4) ** 2) / total
    assert verification.score(name, "hss")[0, :19] == pytest.approx((2 + total - 6 - by_chance) / (total - by_chance))

    p, q = 150 / 255, 190 / 255
    errors = verification.errors(name)
    assert errors["b_mse"][:19] == pytest.approx(2 * 30 * (q - p) ** 2 + 2 * 30 * q**2 + 2 * p**2, rel=1e-5)
    assert errors["b_mae"][:19] == pytest.approx(2 * 30 * (q - p) + 2 * 30 * q + 2 * p, rel=1e-5)
    assert errors["mse"][:19] == pytest.approx(2 * (q - p) ** 2 + 2 * q**2 + 2 * p**2, rel=1e-5)
    assert errors["b_mse"][19] == errors["mae"][19] == 0


def test_only_the_days_of_a_split_are_walked(pixel_archive):
    archive = pixel_archive({6 * frame: DRY for frame in range(480)})  # two days of 240 frames
    first, second = np.unique(archive.times.astype("datetime64[D]"))
    write_split(archive.root, {"train": {first: "1.0"}, "valid": {}, "test": {second: "1.0"}})
    # A day of 240 frames: clips from 0, 5, .. 215; the clip from 220 lacks its last five frames and does not count.
    cases = clips(Archive(archive.root).only("test"))
    assert len(cases) == 44
    assert {str(case.start)[:10] for case in cases} == {str(second)}


def test_another_time_step_is_refused(tmp_path, grid):
    with ArchiveWriter(tmp_path / "b", grid, 10.0, {}) as writer:
        writer.append(np.datetime64("2020-06-01T00:00"), np.zeros(grid.shape, np.float32))
    with pytest.raises(IrregularTimeStep, match=r"frames every 6 min.*nowcast-60") as refused:
        verify(Archive(tmp_path / "b"), [], HKO7_FIXED)
    assert refused.value.where == str(tmp_path / "b")


def test_a_model_that_requires_more_frames_than_the_protocol_provides_is_refused(pixel_archive):
    class Slow(Persistence):
        info = Persistence.info.model_copy(update={"name": "slow", "input_frames": 6})

    archive = pixel_archive({0: DRY})
    with pytest.raises(TooFewFrames, match="the protocol provides 5 input frames, a model requires 6") as refused:
        verify(archive, [Slow()], HKO7_FIXED)
    assert refused.value.where == str(archive.root)
