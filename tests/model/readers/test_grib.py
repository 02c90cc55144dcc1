"""GRIB2 -> rain rate, place and time; decoded in a child, whose end never ends the caller."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from model.core.errors import DuplicateTimes, MissingDependency, NotARadarFile, TooLarge, UnknownVariable
from model.readers import grib, read

needs_eccodes = pytest.mark.skipif(importlib.util.find_spec("eccodes") is None, reason="needs the extra grib")

WRITER = """
import sys, json, eccodes
import numpy as np
path, messages = sys.argv[1], json.loads(sys.argv[2])
with open(path, "wb") as file:
    for keys in messages:
        handle = eccodes.codes_grib_new_from_samples("regular_ll_sfc_grib2")
        values = keys.pop("values")
        for key, value in keys.items():
            eccodes.codes_set(handle, key, value)
        eccodes.codes_set_values(handle, np.array(values, float))
        eccodes.codes_write(handle, file)
"""
BASE = {
    "discipline": 0,
    "parameterCategory": 1,
    "parameterNumber": 7,
    "Ni": 3,
    "Nj": 2,
    "latitudeOfFirstGridPointInDegrees": 50.0,
    "latitudeOfLastGridPointInDegrees": 49.0,
    "longitudeOfFirstGridPointInDegrees": 230.0,
    "longitudeOfLastGridPointInDegrees": 232.0,
    "iDirectionIncrementInDegrees": 1.0,
    "jDirectionIncrementInDegrees": 1.0,
    "dataDate": 20190610,
    "dataTime": 30,
    "bitsPerValue": 16,
    "values": [0.0, 1.0, 2.0, 3.0, 4.0, -3.0],
}


@pytest.fixture
def write_grib(tmp_path: Path) -> Callable[..., Path]:
    """Writes messages, in a process of its own (eccodes beside HDF5 crashes)."""
    import json

    def write(name: str, *messages: dict[str, object]) -> Path:
        path = tmp_path / name
        content = json.dumps([{**BASE, **message} for message in messages])
        subprocess.run([sys.executable, "-c", WRITER, str(path), content], check=True)
        return path

    return write


@needs_eccodes
def test_real_files_agree_with_eccodes_itself(real_data: Path) -> None:
    paths = sorted((real_data / "mrms").glob("*.grib2"))[:2]
    sequence = read(paths)
    script = (
        "import sys, eccodes; handle = eccodes.codes_grib_new_from_file(open(sys.argv[1], 'rb'));"
        "values = eccodes.codes_get_values(handle);"
        "sys.stdout.buffer.write(values.astype('float32').tobytes()); sys.stdout.flush(); import os; os._exit(0)"
    )
    raw = subprocess.run([sys.executable, "-c", script, str(paths[1])], check=True, stdout=subprocess.PIPE).stdout
    values = np.frombuffer(raw, np.float32).reshape(3500, 7000)
    np.testing.assert_array_equal(np.isnan(sequence.rain_rate[1]), values < 0)
    seen = values >= 0
    np.testing.assert_allclose(sequence.rain_rate[1][seen], values[seen], rtol=1e-6)
    assert sequence.rain_rate.dtype == np.float32


@needs_eccodes
def test_real_file_lies_over_the_united_states(real_data: Path) -> None:
    sequence = read(sorted((real_data / "mrms").glob("*.grib2"))[:1])
    grid = sequence.grid
    assert grid.shape == (3500, 7000)
    assert (grid.x[0], grid.x[-1], grid.y[0], grid.y[-1]) == pytest.approx(
        (-129.995, -60.005, 54.995, 20.005), abs=1e-6
    )
    assert str(sequence.times[0]).startswith("2019-06-10T00:00:00")
    assert grid.north_up


@needs_eccodes
def test_flux_becomes_mm_per_hour_and_negative_is_no_data(write_grib: Callable[..., Path]) -> None:
    sequence = read([write_grib("a.grib2", {})])
    np.testing.assert_allclose(sequence.rain_rate[0], [[0, 3600, 7200], [10800, 14400, np.nan]], rtol=1e-3)
    np.testing.assert_allclose(sequence.grid.x, [-130, -129, -128])
    np.testing.assert_allclose(sequence.grid.y, [50, 49])
    assert str(sequence.times[0]).startswith("2019-06-10T00:30:00")


@needs_eccodes
def test_several_messages_and_files_make_one_sequence(write_grib: Callable[..., Path]) -> None:
    two = write_grib("two.grib2", {"dataTime": 20}, {"dataTime": 10})
    one = write_grib("one.grib2", {"dataTime": 0})
    sequence = read([two, one])
    assert [str(time)[11:16] for time in sequence.times] == ["00:00", "00:10", "00:20"]
    with pytest.raises(DuplicateTimes):
        read([write_grib("twice.grib2", {}, {})])


@needs_eccodes
def test_another_parameter_is_named(write_grib: Callable[..., Path]) -> None:
    path = write_grib("t.grib2", {"parameterCategory": 0, "parameterNumber": 0})
    with pytest.raises(UnknownVariable, match=r"t\.grib2: it has no precipitation rate\. It holds \w+"):
        read([path])
    with pytest.raises(UnknownVariable, match=r"no variable 'rain'. It holds prate"):
        read([write_grib("r.grib2", {})], variable="rain")


@needs_eccodes
@pytest.mark.parametrize("cut", [20, 0.5, 0.99])
def test_a_truncated_file_is_damaged(tmp_path: Path, real_data: Path, cut: float) -> None:
    whole = sorted((real_data / "mrms").glob("*.grib2"))[0].read_bytes()
    path = tmp_path / "upload"
    path.write_bytes(whole[: int(cut if cut > 1 else len(whole) * cut)])
    with pytest.raises(NotARadarFile) as caught:
        read([path], names=["mrms.grib2"])
    assert caught.value.where == "mrms.grib2"


@needs_eccodes
def test_garbage_after_the_magic_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "x.grib2"
    path.write_bytes(b"GRIB" + b"\x00\x00\x00\x02" + bytes(range(256)) * 4)
    with pytest.raises(NotARadarFile, match=r"x\.grib2"):
        read([path])


@pytest.mark.parametrize("script", ["import os; os.abort()", "import sys; sys.exit(3)", "print('{')"])
def test_a_crash_of_the_decoder_is_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    child = tmp_path / "child.py"
    child.write_text(script)
    monkeypatch.setattr(grib, "CHILD", child)
    monkeypatch.setattr(grib.importlib.util, "find_spec", lambda name: object())
    path = tmp_path / "x.grib2"
    path.write_bytes(b"GRIB" + bytes(100))
    with pytest.raises(NotARadarFile, match=r"x\.grib2"):
        read([path])


def test_a_decoder_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child = tmp_path / "child.py"
    child.write_text("import time; time.sleep(60)")
    monkeypatch.setattr(grib, "CHILD", child)
    monkeypatch.setattr(grib, "SECONDS_PER_FILE", 0.3)
    monkeypatch.setattr(grib.importlib.util, "find_spec", lambda name: object())
    path = tmp_path / "x.grib2"
    path.write_bytes(b"GRIB" + bytes(100))
    with pytest.raises(NotARadarFile, match="too long"):
        read([path])


def test_a_huge_grid_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child = tmp_path / "child.py"
    child.write_text("""print('{"Ni": 100000, "Nj": 100000, "message": 0}')""")
    monkeypatch.setattr(grib, "CHILD", child)
    monkeypatch.setattr(grib.importlib.util, "find_spec", lambda name: object())
    path = tmp_path / "x.grib2"
    path.write_bytes(b"GRIB" + bytes(100))
    with pytest.raises(TooLarge, match="100000 x 100000"):
        read([path])


def test_without_eccodes_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grib.importlib.util, "find_spec", lambda name: None)
    path = tmp_path / "x.grib2"
    path.write_bytes(b"GRIB" + bytes(100))
    with pytest.raises(MissingDependency, match=r"x\.grib2.*echocast\[grib\]"):
        read([path])


def test_eccodes_without_its_library_is_a_missing_dependency(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child = tmp_path / "child.py"
    child.write_text("""print('{"unavailable": "RuntimeError: no library"}')""")
    monkeypatch.setattr(grib, "CHILD", child)
    monkeypatch.setattr(grib.importlib.util, "find_spec", lambda name: object())
    path = tmp_path / "x.grib2"
    path.write_bytes(b"GRIB" + bytes(100))
    with pytest.raises(MissingDependency, match="no library"):
        read([path])


@needs_eccodes
def test_the_caller_never_loads_eccodes(tmp_path: Path) -> None:
    path = tmp_path / "x.grib2"
    path.write_bytes(b"GRIB" + bytes(100))
    script = (
        "import sys; from pathlib import Path; from model.readers import read\n"
        "try: read([Path(sys.argv[1])])\n"
        "except Exception: pass\n"
        "print('eccodes' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "False"]
