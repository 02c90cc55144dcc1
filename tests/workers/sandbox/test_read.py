"""Reads in processes of their own: the same frames and errors, and a worker that outlives every one of them."""

from __future__ import annotations

import bz2
import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from model.core.errors import FutureFrame, InputError, MixedGrids, NotARadarFile, TooLarge, UnknownVariable
from model.core.forecast_file import write_netcdf
from model.core.interrupt import Interrupted
from model.readers import read as read_here
from model.readers.hko7 import hko7_grid
from service.metrics.instruments import REGISTRY
from workers import sandbox

read = functools.partial(sandbox.read, memory_mb=1024, seconds=60)


def server() -> int:
    """The process id of the fork server, which runs."""
    sandbox.start()
    pid = sandbox._server.pid
    assert pid is not None
    return pid


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """A file whose read waits for a writer."""
    path = tmp_path / "endless.h5"
    os.mkfifo(path)
    return path


@pytest.fixture(autouse=True)
def _no_file_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert list(folder.iterdir()) == []


def test_a_read_gives_what_it_would_give_here(lab, tmp_path: Path) -> None:
    npz = lab.write_frames(tmp_path / "a.npz", count=3)
    sequence = read_here([npz])
    sequence.rain_rate[0, :3] = np.nan
    write_netcdf(sequence, tmp_path / "a.nc")
    packed = tmp_path / "a.nc.bz2"
    packed.write_bytes(bz2.compress((tmp_path / "a.nc").read_bytes()))
    for path in (npz, tmp_path / "a.nc", packed):
        here, there = read_here([path]), read([path])
        assert there.digest() == here.digest()
        assert there.grid.matches(here.grid)
        assert (there.attributes, there.notes) == (here.attributes, here.notes)
    there.rain_rate[:] = 0  # the frames belong to the caller
    assert read([packed]).digest() == here.digest()


def test_what_was_skipped_is_in_the_notes(lab, tmp_path: Path) -> None:
    paths = [lab.write_frames(tmp_path / f"{n}.npz", first=n) for n in range(3)]
    paths[1].write_bytes(paths[1].read_bytes()[:300])
    names = ["one.npz", "two.npz", "three.npz"]
    here = read_here(paths, names=names, skip_unreadable=True)
    there = read(paths, names=names, skip_unreadable=True)
    assert there.notes == here.notes
    assert "two.npz" in there.notes[0]


def test_errors_arrive_as_they_are(lab, tmp_path: Path) -> None:
    good = lab.write_frames(tmp_path / "good.npz")
    other = lab.write_frames(tmp_path / "other.npz", first=1, size=20)
    future = tmp_path / "future.npz"
    np.savez(future, rain_rate=np.zeros((1, 4, 4), np.float32), times=np.array(["2200-01-01"], "datetime64[s]"))
    text = tmp_path / "text.txt"
    text.write_text("no radar\n")
    for kind, paths, options in (
        (NotARadarFile, [text], {}),
        (FutureFrame, [future], {}),
        (MixedGrids, [good, other], {}),
        (UnknownVariable, [good], {"variable": "temperature"}),
        (TooLarge, [good], {"max_pixels": 10}),
    ):
        names = [f"the user's {path.name}" for path in paths]
        errors = []
        for each in (read_here, read):
            with pytest.raises(InputError) as caught:
                each(paths, names=names, **options)
            errors.append(caught.value)
        assert type(errors[1]) is type(errors[0]) is kind
        assert str(errors[1]) == str(errors[0])


def test_an_archive_of_the_operator_is_read_with_what_lies_around_it(lab, tmp_path: Path) -> None:
    frames_folder, masks_folder = (tmp_path / name / "2026" for name in ("radarPNG", "radarPNG_mask"))
    for folder in (frames_folder, masks_folder):
        folder.mkdir(parents=True)
    grid = {"crs_wkt": hko7_grid().crs.to_wkt(), "x0": 0, "dx": 1000, "nx": 6, "y0": 0, "dy": -1000, "ny": 4}
    (tmp_path / "archive.json").write_text(json.dumps({"grid": grid}))
    image, mask = frames_folder / "RAD260601120000.png", np.ones((4, 6), np.bool_)
    mask[0] = False
    Image.fromarray(np.full((4, 6), 120, np.uint8)).save(image)
    (masks_folder / image.name).with_suffix(".mask").write_bytes(zlib.compress(mask.tobytes()))
    frames = read([image])
    assert frames.digest() == read_here([image]).digest()
    assert np.isnan(frames.rain_rate[0, 0]).all()


def stopped(reason: str) -> float:
    """How many reads were stopped for it, as the metrics have it."""
    return REGISTRY.get_sample_value("echocast_sandbox_kills_total", {"reason": reason}) or 0.0


def test_a_read_that_takes_too_much_memory_ends_alone(lab, tmp_path: Path) -> None:
    large, small = tmp_path / "large.npz", lab.write_frames(tmp_path / "small.npz")
    times = np.array(["2026-06-01T12:00"], "datetime64[s]")
    np.savez_compressed(large, rain_rate=np.zeros((1, 8000, 8000), np.float32), times=times)
    before = server()
    with pytest.raises(TooLarge, match="memory"):
        read([large], names=["large.npz"], memory_mb=64)
    assert len(read([small], memory_mb=64)) == 1
    assert server() == before


def test_a_read_that_takes_too_long_ends_alone(lab, tmp_path: Path) -> None:
    bomb, small = tmp_path / "bomb.nc.bz2", lab.write_frames(tmp_path / "small.npz")
    bomb.write_bytes(bz2.compress(bytes(10_000_000)) * 500)
    before = stopped("time")
    with pytest.raises(TooLarge, match="longer than 1 s"):
        read([bomb], seconds=1)
    assert len(read([small])) == 1
    assert stopped("time") == before + 1


def test_a_read_that_hangs_is_killed(endless: Path, lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server()
    monkeypatch.setattr(sandbox, "WALL_FACTOR", 0.5)
    before = stopped("time")
    with pytest.raises(TooLarge, match="longer than 1 s"):
        read([endless], seconds=1)
    assert stopped("time") == before + 1
    assert len(read([lab.write_frames(tmp_path / "small.npz")])) == 1


def test_a_process_of_a_read_that_is_killed_is_replaced(endless: Path, lab) -> None:
    """The second process finds a writer, and an empty file."""
    pid, killed = server(), threading.Event()

    def kill_first() -> None:
        lab.wait_until(lambda: children(pid), "a read")
        [first] = children(pid)
        os.kill(first, signal.SIGKILL)
        lab.wait_until(lambda: children(pid) not in ([], [first]), "another read")
        killed.set()
        endless.open("wb").close()

    thread = threading.Thread(target=kill_first)
    thread.start()
    with pytest.raises(NotARadarFile, match="empty"):
        read([endless])
    thread.join()
    assert killed.is_set()


def test_a_fork_server_that_is_killed_is_replaced(endless: Path, lab, tmp_path: Path) -> None:
    first = server()
    os.kill(first, signal.SIGKILL)
    assert len(read([lab.write_frames(tmp_path / "small.npz")])) == 1
    second = server()
    assert second != first

    def kill_during_a_read() -> None:
        lab.wait_until(lambda: children(second), "a read")
        [child] = children(second)
        os.kill(second, signal.SIGKILL)
        lab.wait_dead(second, child)
        endless.open("wb").close()

    thread = threading.Thread(target=kill_during_a_read)
    thread.start()
    with pytest.raises(NotARadarFile, match="empty"):
        read([endless])
    thread.join()


def test_a_time_limit_interrupts_a_read(endless: Path, lab, tmp_path: Path) -> None:
    def interrupt(*_: object) -> None:
        raise Interrupted

    pid, before = server(), signal.signal(signal.SIGUSR1, interrupt)
    reads: list[int] = []

    def send() -> None:
        lab.wait_until(lambda: children(pid), "a read")
        reads.extend(children(pid))
        os.kill(os.getpid(), signal.SIGUSR1)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        with pytest.raises(Interrupted):
            read([endless])
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, before)
    lab.wait_dead(pid, *reads)
    assert len(read([lab.write_frames(tmp_path / "small.npz")])) == 1


def test_the_processes_die_with_their_worker(endless: Path, lab) -> None:
    program = (
        "import sys, threading; from pathlib import Path; from workers import sandbox\n"
        "sandbox.start(); print(sandbox._server.pid, flush=True)\n"
        "sandbox.read([Path(sys.argv[1])], memory_mb=1024, seconds=600)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(endless)], stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        pid = int(worker.stdout.readline())
        lab.wait_until(lambda: children(pid), "a read")
        reads = children(pid)
        worker.kill()
        lab.wait_dead(pid, *reads)


def test_a_file_that_crashes_a_library_is_named(lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that Python loads before the readers makes h5py crash on a file with the group `crash`."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'workers.sandbox.server' in sys.orig_argv:\n"
        "    import ctypes, h5py\n"
        "    class File(h5py.File):\n"
        "        def __contains__(self, name):\n"
        "            if super().__contains__('crash'):\n"
        "                ctypes.string_at(0)\n"
        "            return super().__contains__(name)\n"
        "    h5py.File = File\n"
    )
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("PYTHONPATH", path)
    sandbox.close()
    crashing, good = tmp_path / "crash.h5", lab.write_frames(tmp_path / "good.npz")
    with h5py.File(crashing, "w") as file:
        file.create_group("crash")
    before = stopped("crash")
    try:
        with pytest.raises(NotARadarFile, match="crashed") as caught:
            read([good, crashing], names=["good.npz", "mine.h5"])
        assert caught.value.where == "mine.h5"
        assert stopped("crash") == before + 2  # with the other file, and alone
        assert len(read([good])) == 1
    finally:
        sandbox.close()


def test_the_fork_server_has_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.close()
    secrets = {"ECHOCAST_DATABASE_URL": "postgresql://u:secret@h/d", "AWS_SECRET_ACCESS_KEY": "secret"}
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    try:
        environment = Path(f"/proc/{server()}/environ").read_bytes()
    finally:
        sandbox.close()
    assert b"secret" not in environment
    assert b"ECHOCAST_" not in environment
