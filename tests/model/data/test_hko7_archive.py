"""The conventions of HKO-7 on a small tree of its own, worked out by hand; and what `archive info` tells of it."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from model.core.errors import InputError
from model.data.archive import RAIN_OF_PIXEL, Archive, DamagedFrame
from model.data.archive_paths import frame_path, mask_path
from model.data.cli import archive
from model.data.region_sampler import ABSENT, find_runs
from model.readers import read
from model.readers.hko7 import NOISE_BELOW

DAYS = {"2014-05-02": 40, "2014-05-03": 6, "2014-06-12": 30}
"""Days and how many frames they have from 00:00 on, less those that are missing."""
MISSING = ("2014-05-02T00:30", "2014-05-02T00:36", "2014-06-12T01:00", "2014-06-12T01:06", "2014-06-12T01:12")


def times() -> list[np.datetime64]:
    every = [
        np.datetime64(f"{day}T00:00", "s") + np.timedelta64(6 * index, "m")
        for day, number in DAYS.items()
        for index in range(number)
    ]
    return [time for time in every if time not in {np.datetime64(each, "s") for each in MISSING}]


def pixels() -> np.ndarray:
    """Row 0: dry, noise (1 and 70), least echo, 2 mm/h, a value the radar never sees; row 1 all 200; else dry."""
    image = np.zeros((480, 480), np.uint8)
    image[0, :6] = 0, 1, 70, 71, 118, 118
    image[1] = 200
    return image


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """HKO-7's files as they come: images, masks, the static mask; and nothing that describes them."""
    root = tmp_path_factory.mktemp("hko7")
    image = pixels()
    encoded = cv2.imencode(".png", image)[1].tobytes()
    exclude = np.zeros((480, 480), np.uint8)
    exclude[0, 5] = 1
    exclude[240:] = 1
    np.savez(root / "mask_dat.npz", exclude_mask=exclude)
    flags = (exclude == 0) & ~((image > 0) & (image < 71))
    for index, time in enumerate(times()):
        for path in (frame_path(root, time), mask_path(root, time)):
            path.parent.mkdir(parents=True, exist_ok=True)
        frame_path(root, time).write_bytes(encoded)
        if index:  # the first has none: its mask is then the static one and the noise
            mask_path(root, time).write_bytes(zlib.compress(flags.tobytes()))
    return root


def echocast(*words: object) -> Result:
    return CliRunner().invoke(archive, [str(word) for word in words])


@pytest.fixture(scope="module")
def adopted(tree: Path) -> Archive:
    before = {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()}
    run = echocast("adopt", tree)
    assert run.exit_code == 0, run.output
    assert "71 frames of HKO-7, 0 damaged frames skipped" in run.output
    assert "signed undertaking" in run.output
    assert all(path.read_bytes() == content for path, content in before.items())
    assert {path.name for path in tree.iterdir()} == {
        *("radarPNG", "radarPNG_mask", "mask_dat.npz", "archive.json", "checksums.sha256")
    }
    return Archive(tree)


def test_an_official_tree_is_described_as_hko7_is(adopted: Archive) -> None:
    assert (adopted.step_minutes, adopted.noise_below) == (6, NOISE_BELOW)
    assert adopted.grid.shape == (480, 480)
    centre = (adopted.grid.x[0] + adopted.grid.x[-1]) / 2, (adopted.grid.y[0] + adopted.grid.y[-1]) / 2
    assert adopted.grid.lon_lat(*centre) == pytest.approx((114.17, 22.30))
    assert adopted.attributes["zr_relation"] == "hko7: Z = 58.53 R^1.56"
    assert "Hong Kong Observatory" in adopted.attributes["source"]
    assert len(adopted.times) == 71


def test_thresholds_in_pixels_are_those_of_the_z_r_relation() -> None:
    # dBZ = 10 log10 58.53 + 15.6 log10 R = 17.674 + 15.6 log10 R; pixel = 255 (dBZ + 10) / 70.
    # 0.5 mm/h: 12.978 dBZ, 83.70;  2: 22.370, 117.92;  5: 28.578, 140.53;  10: 33.274, 157.64;  30: 40.717, 184.75.
    first = [int(np.argmax(rate <= RAIN_OF_PIXEL)) for rate in (0.5, 2, 5, 10, 30)]
    assert first == [84, 118, 141, 158, 185]
    assert RAIN_OF_PIXEL[0] == 0
    # The last is 60 dBZ: 10^((60 - 17.674) / 15.6) = 516.6 mm/h.
    assert RAIN_OF_PIXEL[255] == pytest.approx(516.6, rel=1e-3)


@pytest.mark.parametrize("index", [0, 1])
def test_the_mask_is_that_of_the_benchmark_and_noise_is_dry(adopted: Archive, index: int) -> None:
    time = adopted.times[index]
    raw, counts = adopted.read_raw(time)
    assert np.array_equal(raw, pixels())
    # Of 480 x 480 pixels the lower half never counts, nor one pixel above it, nor two of noise.
    assert counts.sum() == 240 * 480 - 1 - 2
    assert counts[0, :6].tolist() == [True, False, False, True, True, False]
    frame, missing = adopted.read_pixels(time)
    assert frame[0, :6].tolist() == [0, 0, 0, 71, 118, 118]
    assert missing.sum() == 240 * 480 + 1
    rain = adopted.read(time)
    assert rain[0, :3].tolist() == [0, 0, 0]
    assert np.isnan(rain[0, 5])
    assert rain[1, 0] == pytest.approx(55.64, abs=0.01)  # 200: 44.902 dBZ, less 17.674: 27.228 / 15.6


def test_the_reader_of_its_images_sees_the_same_rain(adopted: Archive) -> None:
    time = adopted.times[1]
    assert np.array_equal(read([frame_path(adopted.root, time)]).rain_rate[0], adopted.read(time), equal_nan=True)


def test_windows_of_the_benchmark_are_those_counted_by_hand(adopted: Archive) -> None:
    # 5 frames in and 20 out are 25; at most two in a row may be missing.
    runs = find_runs(adopted.times, 6, 25, max_missing=2)
    whole = [str(adopted.times[index]) for index, run in enumerate(runs) if run[-1] != ABSENT]
    # 2 May: frames 0 to 39 without 5 and 6, so a window of frames s to s + 24 ends by 39: s = 0, 1, ..., 15, but for 5
    # and 6, from which none starts: 14. 3 May has 6 frames: none, and 2 May ends at 03:54, long before.
    # 12 June: frames 0 to 29 without 10, 11, 12, which are three in a row: from none of them a window of 25.
    assert len(whole) == 14
    assert whole[0] == "2014-05-02T00:00:00"
    assert whole[-1] == "2014-05-02T01:30:00"
    assert (runs[0] == ABSENT).nonzero()[0].tolist() == [5, 6]
    # With no frame missing: of 2 May frames 7 to 39, s = 7, ..., 15.
    assert (find_runs(adopted.times, 6, 25)[:, -1] != ABSENT).sum() == 9


def test_info_counts_frames_gaps_and_rain(adopted: Archive) -> None:
    told = json.loads(echocast("info", adopted.root, "--json", "--check").output)
    assert (told["frames"], told["days"], told["missing_frames"]) == (71, 3, 205)
    # On 2 May two; from its end at 03:54 to the next midnight 200 (04:00 to 23:54: ten in each of 20 hours); on 12 June
    # three. The weeks between 3 May and 12 June, of which no day is there, are no gap.
    assert [gap["frames"] for gap in told["gaps"]] == [2, 200, 3]
    assert told["gaps"][0] == {"after": "2014-05-02T00:24:00Z", "before": "2014-05-02T00:42:00Z", "frames": 2}
    # 115 199 pixels hold data. 480 of 55.6 mm/h, one of 2 mm/h and one of less.
    assert told["wet_fraction"]["30"] == pytest.approx(480 / 115199)
    assert told["wet_fraction"]["2"] == pytest.approx(481 / 115199)
    assert told["no_data"] == pytest.approx(1 - 115199 / 230400)
    assert told["histogram"][200] == 71 * 480
    assert told["histogram"][71] == 71
    assert told["histogram"][1] == told["histogram"][70] == 0
    assert told["never_seen"] == pytest.approx((240 * 480 + 1) / 230400, abs=1e-4)
    assert told["check"] == {"intact": 71, "damaged": [], "without_checksum": 0}
    assert "signed undertaking" in told["licence"]


def test_info_for_people_names_the_first_gaps(adopted: Archive) -> None:
    said = echocast("info", adopted.root, "--quick").output
    assert "2 between 2014-05-02T00:24:00Z and 2014-05-02T00:42:00Z" in said
    assert "wet at" not in said


def test_the_histogram_is_a_picture(adopted: Archive, tmp_path: Path) -> None:
    assert echocast("info", adopted.root, "--picture", tmp_path / "a/values.png").exit_code == 0
    picture = cv2.imread(str(tmp_path / "a/values.png"))
    assert picture.shape[1] == 960
    assert (picture != 255).any(axis=2).mean() > 0.02
    run = echocast("info", adopted.root, "--picture", tmp_path / "b", "--quick")
    assert run.exit_code == 2


def copy_of(tree: Path, to: Path) -> Path:
    """Its first day, with its static mask."""
    for time in times()[:12]:
        for path in (frame_path, mask_path):
            if path(tree, time).exists():
                path(to, time).parent.mkdir(parents=True, exist_ok=True)
                path(to, time).write_bytes(path(tree, time).read_bytes())
    (to / "mask_dat.npz").write_bytes((tree / "mask_dat.npz").read_bytes())
    return to


def other(path: Path, image: np.ndarray) -> str:
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    return str(path)


def test_truncated_frames_and_frames_of_another_size_or_depth_are_named_and_counted(tree: Path, tmp_path: Path) -> None:
    root = copy_of(tree, tmp_path / "tree")
    first, second, third, fourth = (frame_path(root, time) for time in times()[:4])
    first.write_bytes(first.read_bytes()[:-20])
    small = other(second, np.zeros((240, 480), np.uint8))
    deep = other(third, np.zeros((480, 480), np.uint16))
    colour = other(fourth, np.zeros((480, 480, 3), np.uint8))
    run = echocast("adopt", root)
    assert "8 frames of HKO-7, 4 damaged frames skipped" in run.output
    for path, reason in (
        (str(first), "it is truncated, after"),
        (small, "it is 240 x 480 pixels, the archive's frames are 480 x 480"),
        (deep, "its pixels are 16-bit grey, those of the archive's frames are 8-bit grey"),
        (colour, "its pixels are coloured, those of the archive's frames"),
    ):
        assert f"damaged: {path}: {reason}" in run.output
    kept = Archive(root)
    with pytest.raises(DamagedFrame, match="truncated"):
        kept.read(kept.times[0])
    told = echocast("info", root, "--json")
    assert len(json.loads(told.stdout)["damaged_frames"]) == 4


def test_another_tree_than_hko7_is_refused_with_a_hint(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    error = echocast("adopt", tmp_path / "photos").exception
    assert "it has no radarPNG/. Name the folder of radarPNG/" in str(error)
    (tmp_path / "photos/radarPNG/2014").mkdir(parents=True)
    assert "radarPNG/ has no frames" in str(echocast("adopt", tmp_path / "photos").exception)
    root = copy_of(tree, tmp_path / "small")
    for time in times()[:12]:
        other(frame_path(root, time), np.zeros((240, 480), np.uint8))
    error = echocast("adopt", root).exception
    assert isinstance(error, InputError)
    assert "none of 12 frames belongs to HKO-7, the first: it is 240 x 480" in str(error)
    assert not (root / "archive.json").exists()
    assert "echocast archive adopt" in str(echocast("info", root).exception)


def test_a_file_name_that_is_not_a_time_of_its_folder_is_refused(tree: Path, tmp_path: Path) -> None:
    root = copy_of(tree, tmp_path / "tree")
    path = frame_path(root, times()[0])
    path.rename(path.with_name("RAD140503000000.png"))
    assert "RAD140503000000.png: its name is not a time of the day" in str(echocast("adopt", root).exception)


def test_an_adopted_tree_is_not_adopted_again(adopted: Archive) -> None:
    assert "it is an archive already" in str(echocast("adopt", adopted.root).exception)


def test_check_names_each_changed_or_missing_file(tree: Path, tmp_path: Path) -> None:
    root = copy_of(tree, tmp_path / "tree")
    assert echocast("adopt", root).exit_code == 0
    frames = [frame_path(root, time) for time in times()[:12]]
    frames[0].write_bytes(frames[0].read_bytes()[:300])
    frames[1].unlink()
    other(frames[2], np.ones((480, 480), np.uint8))
    mask = mask_path(root, times()[3])
    mask.write_bytes(mask.read_bytes()[:-9])
    run = echocast("info", root, "--check", "--json", "--quick")
    assert isinstance(run.exception, InputError)
    assert f"{root}: 4 files are damaged. Import their files again" in str(run.exception)
    found = json.loads(run.stdout)["check"]
    assert found["intact"] == 8
    named = "\n".join(found["damaged"])
    for path, reason in (
        (frames[0], "it is truncated, after 300 bytes"),
        (frames[1], "it is missing"),
        (frames[2], "its checksum differs"),
        (mask, "its checksum differs"),
    ):
        assert f"{path}: " in named
        assert reason in named[named.index(f"{path}: ") :].splitlines()[0]


def test_a_damaged_mask_is_named(tree: Path, tmp_path: Path) -> None:
    root = copy_of(tree, tmp_path / "tree")
    assert echocast("adopt", root).exit_code == 0
    for content in (b"no zlib", zlib.compress(bytes(5)), zlib.compress(b"\2" * 230400)):
        mask_path(root, times()[3]).write_bytes(content)
        with pytest.raises(
            DamagedFrame, match=r"RAD140502001800\.mask: the mask is damaged, or its shape is not 480 x 480"
        ):
            Archive(root).read(times()[3])
    np.savez(root / "mask_dat.npz", exclude_mask=np.zeros((10, 10), np.uint8))
    with pytest.raises(InputError, match=r"mask_dat\.npz: its exclude_mask is \(10, 10\)"):
        Archive(root)


def test_the_official_static_mask_drops_23_percent(tree: Path, tmp_path: Path, real_data: Path) -> None:
    root = copy_of(tree, tmp_path / "tree")
    (root / "mask_dat.npz").write_bytes((real_data / "hko7/mask_dat.npz").read_bytes())
    assert echocast("adopt", root).exit_code == 0
    assert json.loads(echocast("info", root, "--quick", "--json").output)["never_seen"] == pytest.approx(
        0.230, abs=5e-4
    )
