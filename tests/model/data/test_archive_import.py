"""`echocast archive import`: by several processes, killed and run again, on disks that take no more."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from model.core.errors import InputError
from model.core.sequence import FrameSequence
from model.data.archive import Archive
from model.data.archive_import import JOURNAL, ImportOptions, RadarFileReader, import_files
from model.data.checksums import CHECKSUMS
from model.data.cli import archive
from tests.patience import WAIT_SECONDS, wait_until

START = np.datetime64("2015-07-09T22:00")
COMMAND = [sys.executable, "-c", "from service.cli import main; main()", "archive", "import"]


def hko7_images(folder: Path, number: int) -> Path:
    """Files to import: HKO-7's images, six minutes apart, over midnight."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    field = cv2.GaussianBlur(rng.standard_normal((480, 480)).astype(np.float32), (0, 0), 12)
    pixels = np.clip(field / field.std() * 60 + 40, 0, 255).astype(np.uint8)
    for index in range(number):
        stamp = (START + np.timedelta64(6 * index, "m")).item().strftime("%y%m%d%H%M00")
        cv2.imwrite(str(folder / f"RAD{stamp}.png"), np.roll(pixels, 2 * index, 1))
    return folder


def content(root: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder."""
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def imported(*words: object) -> str:
    run = CliRunner().invoke(archive, ["import", *map(str, words)])
    assert run.exit_code == 0, run.output
    return run.output


def refused(*words: object) -> InputError:
    run = CliRunner().invoke(archive, ["import", *map(str, words)])
    assert isinstance(run.exception, InputError), run.output
    return run.exception


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hko7_images(tmp_path_factory.mktemp("in") / "images", 40)


@pytest.fixture(scope="module")
def unbroken(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive of the images, imported in one go by one process."""
    out = tmp_path_factory.mktemp("out") / "archive"
    assert "40 frames written, 0 already present, 0 files skipped" in imported(images, "--out", out, "--workers", 1)
    return out


def test_the_checksums_are_those_of_sha256sum(unbroken: Path) -> None:
    listed = dict(reversed(line.split("  ")) for line in (unbroken / CHECKSUMS).read_text().splitlines())
    found = content(unbroken)
    assert listed == {name: found[name] for name in sorted(found) if name.startswith("radarPNG")}
    assert list(listed) == sorted(listed)
    assert len(listed) == 40


@contextmanager
def held_at(file: Path) -> Iterator[None]:
    """A pipe in the place of a file, from which nothing comes: an import of it is held up for as long as this lasts."""
    kept = file.rename(file.with_suffix(".kept"))
    os.mkfifo(file)
    try:
        yield
    finally:
        kept.replace(file)


def opened_by_a_reader(pipe: Path) -> int:
    """The other end of a pipe, once there is a process that reads it."""
    ends: list[int] = []

    def is_read() -> bool:
        with suppress(OSError):
            ends.append(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        return bool(ends)

    wait_until(is_read, f"somebody to read {pipe.name}")
    return ends[0]


def running_on(group: int) -> bool:
    """Whether a process of the group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_continued_import_after_a_kill_gives_the_archive_of_an_uninterrupted_run(
    images: Path, unbroken: Path, tmp_path: Path
) -> None:
    out = tmp_path / "archive"
    files = sorted(images.iterdir())
    command = [*COMMAND, *map(str, files), "--out", str(out), "--workers", "2"]
    with held_at(files[20]), subprocess.Popen(command, start_new_session=True) as running:
        wait_until(lambda: len(list(out.rglob("RAD*.png"))) >= 3, "the first frames")
        running.kill()
        running.wait()
        # The processes that read end with the one that was killed, whatever they are at.
        try:
            wait_until(lambda: not running_on(running.pid), "the other processes of the import to end")
        except AssertionError:
            os.killpg(running.pid, signal.SIGKILL)
            raise
    kept = list(out.rglob("RAD*.png"))
    assert 3 <= len(kept) <= 20
    for path in kept:  # each that is there is whole
        assert path.read_bytes() == (unbroken / path.relative_to(out)).read_bytes()
    again = imported(images, "--out", out, "--workers", 1)
    there = len(kept)
    assert f"{40 - there} frames written, {there} already present, 0 files skipped" in again
    assert content(out) == content(unbroken)


def test_an_interrupt_at_the_terminal_is_reported_in_one_line(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "archive"
    files = sorted(images.iterdir())
    command = [*COMMAND, *map(str, files), "--out", str(out), "--workers", "2"]
    with (
        held_at(files[20]),
        subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True) as running,
    ):
        held = opened_by_a_reader(files[20])
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does: to all of them
        os.close(held)
        said = running.communicate(timeout=WAIT_SECONDS)[1]
    assert running.returncode == 130
    assert said.rstrip() == f"{out}: stopped. Written frames are kept: the same command continues"


def test_truncated_lists_are_repaired_after_a_crash(images: Path, unbroken: Path, tmp_path: Path) -> None:
    out = tmp_path / "archive"
    subprocess.run(["cp", "-r", str(unbroken), str(out)], check=True)
    for name in (CHECKSUMS, JOURNAL):
        whole = (out / name).read_bytes()
        (out / name).write_bytes(whole[: len(whole) * 2 // 3 + 5])
    (out / ".unfinished").mkdir()
    (out / ".unfinished/.RAD150709220000.png.abc").write_bytes(b"half")
    assert "0 frames written, 40 already present" in imported(images, "--out", out, "--workers", 1)
    assert content(out) == content(unbroken)


def test_a_damaged_frame_is_rewritten(images: Path, unbroken: Path, tmp_path: Path) -> None:
    out = tmp_path / "archive"
    subprocess.run(["cp", "-r", str(unbroken), str(out)], check=True)
    frames = sorted(out.rglob("RAD*.png"))
    frames[3].write_bytes(frames[3].read_bytes()[:1000])
    frames[5].unlink()
    said = imported(images, "--out", out, "--workers", 1)
    assert "1 frames written, 38 already present, 1 damaged frames rewritten, 0 files skipped" in said
    assert content(out) == content(unbroken)


def test_imported_files_are_not_read_again(images: Path, unbroken: Path, tmp_path: Path, monkeypatch) -> None:
    def unwanted(*_: object, **__: object) -> None:
        raise AssertionError("a file was read")

    out = tmp_path / "archive"
    subprocess.run(["cp", "-r", str(unbroken), str(out)], check=True)
    monkeypatch.setattr("model.data.archive_import.read", unwanted)
    assert "0 frames written, 40 already present" in imported(images, "--out", out, "--workers", 1)


def test_of_two_files_of_one_time_the_first_counts(images: Path, tmp_path: Path) -> None:
    names = [path.name for path in sorted(images.iterdir())[:3]]
    for name in names:
        (tmp_path / "b").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "b" / name), np.full((480, 480), 200, np.uint8))
    first = [images / name for name in names]
    said = imported(*first, tmp_path / "b", "--out", tmp_path / "archive", "--workers", 2)
    assert "3 frames written, 3 already present, 0 files skipped" in said
    kept = Archive(tmp_path / "archive")
    assert (kept.read_raw(kept.times[0])[0] < 200).any()


def test_options_must_not_contradict_the_description_of_the_archive(images: Path, unbroken: Path) -> None:
    error = refused(images, "--out", unbroken, "--step", 5)
    assert "its step is 6.0, not 5.0" in str(error)
    assert "archive.json" in error.where
    assert "its licence is not known, not CC BY 4.0" in str(
        refused(images, "--out", unbroken, "--licence", "CC BY 4.0")
    )


def test_one_writer_at_a_time(images: Path, unbroken: Path) -> None:
    kept = Archive(unbroken)
    from model.data.archive_writer import ArchiveWriter

    with ArchiveWriter(unbroken, kept.grid, 6.0, {}):
        assert "another command is writing to it" in str(refused(images, "--out", unbroken))


def full_disk(folder: Path) -> None:
    """Mount a disk of 600 kB at a folder, or skip."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk can be mounted by root only")


def test_a_full_disk_is_reported_and_the_import_continues_once_there_is_room(
    images: Path, unbroken: Path, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    full_disk(disk)
    try:
        out = disk / "archive"
        command = [*COMMAND, str(images), "--out", str(out), "--workers", "1"]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        assert run.returncode == 2
        assert run.stderr.strip() == (
            f"echocast: {out}: the disk is full. Make room and run the same command again: what is written is kept"
        )
        kept = list(out.rglob("RAD*.png"))
        assert 3 <= len(kept) < 40
        for path in kept:
            assert path.read_bytes() == (unbroken / path.relative_to(out)).read_bytes()
        subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
        assert f"{40 - len(kept)} frames written, {len(kept)} already present" in imported(
            images, "--out", out, "--workers", 1
        )
        assert content(out) == content(unbroken)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_file_size_limit_is_reported(images: Path, tmp_path: Path) -> None:
    run = subprocess.run(
        [*COMMAND, str(images), "--out", str(tmp_path / "archive"), "--workers", "1"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000)),
    )
    assert run.returncode == 2
    assert "the file exceeds the size limit for files. Make room" in run.stderr
    assert not list((tmp_path / "archive").rglob("RAD*.png"))
    assert not [path for path in (tmp_path / "archive").rglob(".RAD*") if path.is_file()]


def test_a_folder_that_cannot_be_written_is_reported(images: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    error = refused(images, "--out", tmp_path / "file/archive")
    assert "it cannot be written (Not a directory). Choose a folder that you may write to" in str(error)
    assert "cannot be written (Not a directory)" in str(refused(images, "--out", tmp_path / "file"))
    barred = Path("/sys/archive")
    if os.geteuid() != 0:
        (tmp_path / "barred").mkdir(mode=0o500)
        barred = tmp_path / "barred/archive"
    assert "it cannot be written (" in str(refused(images, "--out", barred))


def test_real_files_by_two_processes(real_data: Path, tmp_path: Path) -> None:
    files = sorted((real_data / "knmi").glob("*.h5"))[:12]
    words = ("--source", "KNMI", "--licence", "CC BY 4.0", "--workers", 2)
    assert "12 frames written" in imported(*files, "--out", tmp_path / "archive", *words)
    kept = Archive(tmp_path / "archive")
    assert (kept.grid.shape, kept.step_minutes) == ((765, 700), 5)
    assert kept.attributes["licence"] == "CC BY 4.0"
    assert np.isnan(kept.read(kept.times[0])).any()
    imported(*files, "--out", tmp_path / "one", *words[:-1], 1)
    assert content(tmp_path / "one") == content(tmp_path / "archive")
    names = [line.split("  ")[1] for line in (tmp_path / "one" / CHECKSUMS).read_text().splitlines()]
    assert len(names) == 24
    assert names == sorted(names)


def test_notes_of_a_reader_are_reported(images: Path, tmp_path: Path) -> None:
    def bridged(path: Path) -> FrameSequence:
        return replace(RadarFileReader()(path), notes=("a frame was bridged",))

    told: list[tuple[str, str]] = []
    import_files(
        sorted(images.iterdir())[:3],
        tmp_path / "archive",
        ImportOptions(read_file=bridged, attributes={}),
        workers=1,
        on_file=lambda: None,
        on_skipped=lambda path, error: None,
        on_note=lambda path, note: told.append((path.name, note)),
    )
    assert told == [(path.name, "a frame was bridged") for path in sorted(images.iterdir())[:3]]
