"""Splits by day: drawn by lot, or of HKO-7's lists; never two parts with a day in common."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from pyproj import CRS

from model.core.errors import InputError
from model.core.grid import Grid
from model.data.archive import Archive
from model.data.archive_writer import ArchiveWriter
from model.data.cli import archive
from model.data.split import check_disjoint, read_day_list

FIRST = np.datetime64("2014-05-01")
GRID = Grid.regular(CRS.from_epsg(32650), shape=(8, 8), pixel_size=1000.0, centre=(0.0, 0.0))


def made(root: Path, days: int) -> Path:
    """Days of two frames; day n has n mm/h."""
    with ArchiveWriter(root, GRID, 6.0, {}) as writer:
        for day in range(days):
            for minute in (0, 6):
                writer.append(FIRST + np.timedelta64(1440 * day + minute, "m"), np.full(GRID.shape, day, np.float32))
    return root


def split(*words: object) -> str:
    run = CliRunner().invoke(archive, ["split", *map(str, words)])
    assert run.exit_code == 0, run.output
    return run.output


def refused(*words: object) -> str:
    run = CliRunner().invoke(archive, ["split", *map(str, words)])
    assert isinstance(run.exception, InputError), run.output
    return str(run.exception)


def days_of(root: Path) -> dict[str, list[int]]:
    """The days of each part, counted from the first."""
    return {
        part: np.unique((Archive(root).only(part).times.astype("datetime64[D]") - FIRST).astype(int)).tolist()
        for part in ("train", "valid", "test")
    }


def test_days_are_drawn_whole_and_evenly_by_their_rain(tmp_path: Path) -> None:
    root = made(tmp_path / "a", 20)
    said = split(root)
    assert said.splitlines() == ["train: 16 days, 32 frames", "valid: 2 days, 4 frames", "test: 2 days, 4 frames"]
    parts = days_of(root)
    assert sorted(day for days in parts.values() for day in days) == list(range(20))
    # Day n has n mm/h: of two test days one is of the drier half and one of the wetter.
    assert [day >= 10 for day in parts["test"]] == [False, True]
    assert [day >= 10 for day in parts["valid"]] == [False, True]
    lines = (root / "split/train.txt").read_text().splitlines()
    assert lines == sorted(lines)
    # 2 mm/h is pixel 118, which is 2.01 mm/h, for 24 hours.
    amounts = dict(line.split(", ") for part in parts for line in (root / f"split/{part}.txt").read_text().splitlines())
    assert float(amounts["20140503"]) == pytest.approx(48, rel=0.02)
    assert amounts["20140501"] == "0.00"


def test_the_same_seed_gives_the_same_days_and_another_others(tmp_path: Path) -> None:
    root = made(tmp_path / "a", 20)
    split(root, "--seed", 1)
    once = days_of(root)
    split(root, "--seed", 1, "--replace")
    assert days_of(root) == once
    split(root, "--seed", 2, "--replace")
    assert days_of(root) != once


def test_a_split_is_replaced_only_on_request(tmp_path: Path) -> None:
    root = made(tmp_path / "a", 10)
    split(root)
    once = days_of(root)
    assert "it already has a split" in refused(root, "--seed", 3)
    assert days_of(root) == once


def test_a_split_whose_replacement_was_interrupted_is_still_there(tmp_path: Path) -> None:
    root = made(tmp_path / "a", 10)
    split(root)
    once = days_of(root)
    (root / "split").rename(root / ".split.old")  # what kill -9 between the two renames leaves
    assert days_of(root) == once
    assert "it already has a split" in refused(root, "--seed", 3)
    split(root, "--seed", 1, "--replace")
    assert days_of(root) != once
    assert not (root / ".split.old").exists()


def test_fractions_that_do_not_add_up_and_too_few_days_are_refused(tmp_path: Path) -> None:
    root = made(tmp_path / "a", 2)
    assert "the fractions add up to 1.1: 0.8 + 0.2 + 0.1" in refused(root, "--valid", 0.2)
    assert "it has 2 days, too few for 3 parts" in refused(root)
    split(root, "--train", 0.5, "--valid", 0.5, "--test", 0)
    assert [len(days_of_part) for days_of_part in Archive(root).parts().values()] == [1, 1, 0]
    with pytest.raises(InputError, match="it has no frames of the days of test"):
        Archive(root).only("test")


def lists(folder: Path, *texts: str) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{index}.txt" for index in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return paths


def test_given_lists_are_kept_as_they_are_and_days_without_frames_are_counted(tmp_path: Path) -> None:
    root = made(tmp_path / "a", 4)
    texts = ("20140502, 18\n20140501, 0.1\n20130101, 3.5\n", "20140503, 0.2\n", "\n20150101\n")
    said = split(root, "--lists", *lists(tmp_path / "l", *texts))
    assert said.splitlines() == [
        "train: 3 days, 1 of them without frames, 4 frames",
        "valid: 1 days, 2 frames",
        "test: 1 days, 1 of them without frames, 0 frames",
        "in no part: 2 frames",
    ]
    assert (root / "split/train.txt").read_text() == "20130101, 3.5\n20140501, 0.1\n20140502, 18\n"
    assert (root / "split/test.txt").read_text() == "20150101\n"


def test_lists_that_share_days_are_refused_with_the_days(tmp_path: Path) -> None:
    root = made(tmp_path / "a", 4)
    texts = ("20140501, 1\n20140502, 1\n", "20140503, 1\n", "20140502, 1\n20140501, 2\n")
    said = refused(root, "--lists", *lists(tmp_path / "l", *texts))
    assert "--lists: 2 days are both in train and in test: 2014-05-01, 2014-05-02." in said
    assert not (root / "split").exists()
    # A split that was edited by hand into such a one is refused when it is used.
    split(root)
    (root / "split/test.txt").write_text((root / "split/train.txt").read_text())
    with pytest.raises(InputError, match="both in train and in test"):
        Archive(root).only("train")


@pytest.mark.parametrize("line", ["20140532, 1", "2014-05-01, 1", "20140501; 1", "rain", "20140501, much"])
def test_an_invalid_line_is_named(tmp_path: Path, line: str) -> None:
    path = lists(tmp_path / "l", f"20140401, 1\n{line}\n")[0]
    with pytest.raises(InputError, match="line 2 is not a day and its rain") as caught:
        read_day_list(path)
    assert caught.value.where == str(path)


def test_a_repeated_day_and_a_missing_list_are_refused(tmp_path: Path) -> None:
    path = lists(tmp_path / "l", "20140401, 1\n20140401, 2\n")[0]
    with pytest.raises(InputError, match="line 2 repeats a day"):
        read_day_list(path)
    with pytest.raises(InputError, match="it cannot be read"):
        read_day_list(tmp_path / "nowhere")


def test_parts_of_an_archive_without_a_split_or_by_another_name(tmp_path: Path) -> None:
    root = made(tmp_path / "a", 3)
    with pytest.raises(InputError, match=r"it has no split.*echocast archive split"):
        Archive(root).only("train")
    split(root)
    with pytest.raises(InputError, match=r"no part 'training'\. Choose one of train, valid, test"):
        Archive(root).only("training")


def test_the_official_lists_of_hko7(real_data: Path, tmp_path: Path) -> None:
    parts = {part: read_day_list(real_data / f"hko7/hko7_rainy_{part}_days.txt") for part in ("train", "valid", "test")}
    check_disjoint(parts, "")
    assert [len(days) for days in parts.values()] == [812, 50, 131]
    assert parts["valid"][np.datetime64("2012-02-28")] == "18"
    root = made(tmp_path / "a", 3)
    said = split(root, "--lists", *(real_data / f"hko7/hko7_rainy_{part}_days.txt" for part in parts))
    assert "train: 812 days, 81" in said


def one_day(root: Path, hours: float) -> Path:
    """Frames every six minutes from 00:30 on; hour n has n mm/h."""
    with ArchiveWriter(root, GRID, 6.0, {}) as writer:
        for minute in range(30, round(hours * 60) + 30, 6):
            writer.append(FIRST + np.timedelta64(minute, "m"), np.full(GRID.shape, minute // 60, np.float32))
    return root


def test_an_archive_of_one_day_is_offered_hours_and_split_by_them_with_a_gap(tmp_path: Path) -> None:
    root = one_day(tmp_path / "a", 12)
    said = refused(root)
    assert "it has 1 day, too few for 3 parts. Import more days, or split it by hours: --hours 2, or leave" in said
    split(root, "--hours", 2)
    found = Archive(root)
    parts = {part: found.only(part).times for part in ("train", "valid", "test")}
    # Seven blocks of two hours from 00:00; the last has no frame after its first hour, and is in no part.
    assert sorted(len(found.parts()[part]) for part in parts) == [1, 1, 4]
    for one in parts:
        for other in set(parts) - {one}:
            apart = np.abs(parts[one][:, None] - parts[other]).min()
            assert apart >= np.timedelta64(60, "m"), (one, other)
    assert max(times[-1] for times in parts.values()) < FIRST + np.timedelta64(12, "h")
    assert "blocks of hours" in CliRunner().invoke(archive, ["info", str(root)]).output
    lines = (root / "split/train.txt").read_text().splitlines()
    assert all(line.startswith("20140501T") and "/20140501T" in line for line in lines)
    digest = found.digest()
    split(root, "--hours", 2, "--seed", 5, "--replace")
    assert Archive(root).digest() != digest


def test_blocks_of_one_part_that_follow_each_other_have_no_gap(tmp_path: Path) -> None:
    root = one_day(tmp_path / "a", 20)
    split(root, "--hours", 3, "--gap", 30)
    times = Archive(root).only("train").times
    parts = Archive(root).parts()
    follow = [(a, b) for a in parts["train"] for b in parts["train"] if a.end == b.begin]  # type: ignore[union-attr]
    assert follow
    for _, later in follow:
        assert later.begin in times  # type: ignore[union-attr]
        assert later.begin - np.timedelta64(6, "m") in times  # type: ignore[union-attr]


def test_overlapping_and_empty_blocks_are_refused(tmp_path: Path) -> None:
    texts = ("20140501T0000/20140501T0300, 1\n", "20140501T0230/20140501T0400\n", "20140502\n")
    with pytest.raises(InputError, match=r"1 days are both in train and in valid: 20140501T0000/20140501T0300"):
        check_disjoint(
            {
                p: read_day_list(f)
                for p, f in zip(("train", "valid", "test"), lists(tmp_path / "l", *texts), strict=True)
            },
            "",
        )
    texts = ("20140501T0000/20140501T0300, 1\n", "20140501T0300/20140501T0400\n", "20140501\n")
    with pytest.raises(InputError, match="both in train and in test"):
        check_disjoint(
            {
                p: read_day_list(f)
                for p, f in zip(("train", "valid", "test"), lists(tmp_path / "m", *texts), strict=True)
            },
            "",
        )
    for line in ("20140501T0300/20140501T0300", "20140501T0300", "20140501T2500/20140502T0000", "20140501/20140502"):
        with pytest.raises(InputError, match="line 1 is not a day"):
            read_day_list(lists(tmp_path / "n", f"{line}, 1\n")[0])


def test_a_gap_that_leaves_nothing_and_lists_with_hours_are_refused(tmp_path: Path) -> None:
    root = str(one_day(tmp_path / "a", 12))
    assert "leaves nothing of a block of 1 h" in CliRunner().invoke(archive, ["split", root, "--hours", "1"]).output
    words = ["split", root, "--hours", "2", "--lists", "a", "b", "c"]
    assert "leave --hours out" in CliRunner().invoke(archive, words).output
    assert "it has 2 blocks, too few for 3 parts. Import more days, or split it by fewer hours: --hours 2" in refused(
        root, "--hours", 6
    )
    assert "Import more days, or leave it" in refused(one_day(tmp_path / "b", 3))
