"""GRIB2 to rain rate, grid and time; decoded in a child process, whose crash never ends the caller."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from model.core.errors import DuplicateTimes, MissingDependency, NotARadarFile, TooLarge, UnknownVariable
from model.core.interrupt import Interrupted
from model.readers import grib, read, subprocess_decoding
from tests.patience import WAIT_SECONDS

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

MEAN = {
    "productDefinitionTemplateNumber": 8,
    "typeOfStatisticalProcessing": 0,
    "indicatorOfUnitForTimeRange": 1,
    "lengthOfTimeRange": 1,
    "yearOfEndOfOverallTimeInterval": 2019,
    "monthOfEndOfOverallTimeInterval": 6,
    "dayOfEndOfOverallTimeInterval": 10,
    "hourOfEndOfOverallTimeInterval": 1,
    "minuteOfEndOfOverallTimeInterval": 30,
    "secondOfEndOfOverallTimeInterval": 0,
}
"""From 00:30 to 01:30."""


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
@pytest.mark.parametrize("count", [2_000_000_000, -2_000_000_000])
def test_the_library_does_not_count_billions_of_centuries(write_grib: Callable[..., Path], count: int) -> None:
    path = write_grib("far.grib2", {"indicatorOfUnitOfTimeRange": 7, "forecastTime": count})
    with pytest.raises(NotARadarFile, match=r"this is a forecast|in months or years"):
        read([path])


@needs_eccodes
def test_a_time_range_without_a_unit_is_none(write_grib: Callable[..., Path]) -> None:
    path = write_grib("no_unit.grib2", {"indicatorOfUnitOfTimeRange": 255, "forecastTime": 0})
    assert str(read([path]).times[0])[:16] == "2019-06-10T00:30"


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
def test_a_real_file_covers_the_united_states(real_data: Path) -> None:
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
    sequence = read([write_grib("a.grib2", {"values": [0.0, 0.125, 0.25, 0.375, 0.5, -0.375]})])
    np.testing.assert_allclose(sequence.rain_rate[0], [[0, 450, 900], [1350, 1800, np.nan]], rtol=1e-3)
    np.testing.assert_allclose(sequence.grid.x, [-130, -129, -128])
    np.testing.assert_allclose(sequence.grid.y, [50, 49])
    assert str(sequence.times[0]).startswith("2019-06-10T00:30:00")


@needs_eccodes
def test_the_decoder_imports_no_module_of_the_current_folder(
    write_grib: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_grib("a.grib2", {})
    for name in ("eccodes", "numpy", "model"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('foreign')\n")
    monkeypatch.chdir(tmp_path)
    assert len(read([path])) == 1


@needs_eccodes
@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"typeOfGeneratingProcess": 2}, "the generating process is forecast"),
        ({"typeOfGeneratingProcess": 4}, "ensemble forecast"),
        ({"typeOfGeneratingProcess": 14}, "nowcast"),
        ({"typeOfGeneratingProcess": 255, "typeOfProcessedData": 1}, "the type of data is forecast"),
        ({"typeOfGeneratingProcess": 0, "typeOfProcessedData": 4}, "the type of data is perturbed forecast"),
        ({"typeOfGeneratingProcess": 0, "forecastTime": 1}, "valid after the reference time"),
        ({"typeOfGeneratingProcess": 8, "forecastTime": 1}, "valid after the reference time"),
        ({"discipline": 209, "parameterCategory": 6, "parameterNumber": 1, "forecastTime": 1}, "valid after"),
        ({"typeOfGeneratingProcess": 255, **MEAN}, "the period ends after the reference time"),
        ({"typeOfGeneratingProcess": 0, "significanceOfReferenceTime": 1, **MEAN}, "the period ends after"),
    ],
    ids=str,
)
def test_a_forecast_is_not_an_observation(write_grib: Callable[..., Path], keys: dict[str, int], why: str) -> None:
    with pytest.raises(NotARadarFile, match=f"this is a forecast: .*{why}.*Give observations"):
        read([write_grib("fc.grib2", keys)])


@needs_eccodes
@pytest.mark.parametrize(
    "keys",
    [
        {"typeOfGeneratingProcess": 8, "typeOfProcessedData": 7},
        {"typeOfGeneratingProcess": 8, "typeOfProcessedData": 1},
        {"typeOfGeneratingProcess": 0, "typeOfProcessedData": 0},
        {"typeOfGeneratingProcess": 255, "typeOfProcessedData": 1, "significanceOfReferenceTime": 3},
        {"discipline": 209, "parameterCategory": 6, "parameterNumber": 1, "typeOfProcessedData": 1},
    ],
    ids=str,
)
def test_observations_and_analyses_pass(write_grib: Callable[..., Path], keys: dict[str, int]) -> None:
    assert len(read([write_grib("obs.grib2", keys)])) == 1


@needs_eccodes
def test_an_observed_mean_is_called_one(write_grib: Callable[..., Path]) -> None:
    sequence = read([write_grib("mean.grib2", {"typeOfGeneratingProcess": 8, **MEAN})])
    assert sequence.attributes["quantity"] == "rain rate, mean over 60 min"
    assert str(sequence.times[0]).startswith("2019-06-10T01:30")


@needs_eccodes
def test_a_message_that_cannot_be_found_is_missed(write_grib: Callable[..., Path]) -> None:
    path = write_grib("two.grib2", {"dataTime": 0}, {"dataTime": 10})
    whole = path.read_bytes()
    second = whole.rindex(b"GRIB")
    path.write_bytes(whole[:second] + b"\r\n" + whole[second:] + bytes(100))
    assert len(read([path])) == 2
    for damaged in (
        whole[:second] + b"GRIX" + whole[second + 4 :],
        whole + b"GRI",
        whole[:second] + b"x" + whole[second:],
    ):
        path.write_bytes(damaged)
        with pytest.raises(NotARadarFile, match=r"two\.grib2: .* bytes from byte [\d,]+ on belong to no message"):
            read([path])


@needs_eccodes
@pytest.mark.parametrize(
    ("keys", "values", "expected"),
    [
        ({}, [-1e-9, 0.0, 1e-3, 2e-3, -1.0, -3.0], [0, 0, 3.6, 7.2, np.nan, np.nan]),
        ({"discipline": 209, "parameterCategory": 6}, [-1e-9, 0.0, 5, 12, -1, -3], [0, 0, 5, 12, np.nan, np.nan]),
        # Steps of 0.03 mm/h that do not meet zero: it is the step nearest to it.
        (
            {"discipline": 209, "parameterCategory": 6, "bitsPerValue": 9},
            [-3, -1, 0.0, 0.0, 5, 12],
            [np.nan, np.nan, 0, 0, 5, 12],
        ),
        ({"packingType": "grid_ieee"}, [-1e-9, 0.0, 1e-3, 2e-3, -1.0, -3.0], [0, 0, 3.6, 7.2, np.nan, np.nan]),
    ],
    ids=["interpolated", "MRMS", "coarse", "no packing"],
)
def test_negative_zeros_are_dry_and_codes_are_missing(
    write_grib: Callable[..., Path], keys: dict[str, object], values: list[float], expected: list[float]
) -> None:
    message = {"bitsPerValue": 24, **keys, "values": values}
    if keys.get("discipline"):
        message["parameterNumber"] = 1
    rain = read([write_grib("z.grib2", message)]).rain_rate[0].reshape(-1)
    np.testing.assert_array_equal(np.isnan(rain), np.isnan(expected))
    np.testing.assert_allclose(rain, expected, atol=0.05)
    assert rain[np.array(expected) == 0].max() <= 0.04


@needs_eccodes
@pytest.mark.parametrize("packing", ["grid_simple", "grid_complex", "grid_complex_spatial_differencing"])
def test_missing_values_of_the_format_itself(write_grib: Callable[..., Path], packing: str) -> None:
    message = {
        "packingType": packing,
        "bitmapPresent": 1,
        "missingValue": 9999.0,
        "values": [0, 0.1, 9999.0, 0.2, 0.3, 0.4],
    }
    if packing != "grid_simple":
        message |= {"missingValueManagementUsed": 1, "bitmapPresent": 0}
    rain = read([write_grib("m.grib2", message)]).rain_rate[0].reshape(-1)
    np.testing.assert_allclose(rain, [0, 360, np.nan, 720, 1080, 1440], rtol=1e-2)


@needs_eccodes
@pytest.mark.parametrize(
    ("keys", "x", "y"),
    [
        ({}, (-130, -128), (50, 49)),
        ({"iScansNegatively": 1, "longitudeOfFirstGridPointInDegrees": 232.0}, (-130, -128), (50, 49)),
        (
            {"longitudeOfFirstGridPointInDegrees": 359.0, "longitudeOfLastGridPointInDegrees": 1.0},
            (-1, 1),
            (50, 49),
        ),
        (
            {
                "jScansPositively": 1,
                "latitudeOfFirstGridPointInDegrees": 49.0,
                "latitudeOfLastGridPointInDegrees": 50.0,
            },
            (-130, -128),
            (49, 50),
        ),
        ({"iDirectionIncrementGiven": 0, "jDirectionIncrementGiven": 0}, (-130, -128), (50, 49)),
        ({"iDirectionIncrementInDegrees": 0.9}, (-130, -128), (50, 49)),
    ],
    ids=["plain", "from the east", "across Greenwich", "from the south", "no increment", "increment rounded"],
)
def test_the_grid_runs_from_its_first_point_to_its_last(
    write_grib: Callable[..., Path], keys: dict[str, object], x: tuple[float, float], y: tuple[float, float]
) -> None:
    if keys.get("iScansNegatively"):
        keys["longitudeOfLastGridPointInDegrees"] = 230.0
    grid = read([write_grib("g.grib2", keys)]).grid
    assert (grid.x[0], grid.x[-1]) == pytest.approx(x, abs=1e-6)
    assert (grid.y[0], grid.y[-1]) == pytest.approx(y, abs=1e-6)


@needs_eccodes
@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"iDirectionIncrementInDegrees": 0.5}, "along i make steps of 1 degrees, the increment is 0.5"),
        ({"jDirectionIncrementInDegrees": 2.0}, "along j make steps of 1 degrees, the increment is 2"),
        ({"jScansPositively": 1}, "the rows run against the scanning mode"),
    ],
)
def test_grid_points_that_contradict_the_increment_are_refused(
    write_grib: Callable[..., Path], keys: dict[str, object], message: str
) -> None:
    with pytest.raises(NotARadarFile, match=message):
        read([write_grib("g.grib2", keys)])


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
    with pytest.raises(UnknownVariable, match=r"t\.grib2: the file has no precipitation rate\. It holds \w+"):
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
def test_a_crash_of_the_decoder_is_an_error_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    child = tmp_path / "child.py"
    child.write_text(script)
    monkeypatch.setattr(grib, "SCRIPT", child)
    monkeypatch.setattr(subprocess_decoding.importlib.util, "find_spec", lambda name: object())
    path = tmp_path / "x.grib2"
    path.write_bytes(b"GRIB" + bytes(100))
    with pytest.raises(NotARadarFile, match=r"x\.grib2"):
        read([path])


def test_a_decoder_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child = tmp_path / "child.py"
    child.write_text("import time; time.sleep(60)")
    monkeypatch.setattr(grib, "SCRIPT", child)
    monkeypatch.setattr(subprocess_decoding, "SECONDS_PER_FILE", 0.3)
    monkeypatch.setattr(subprocess_decoding.importlib.util, "find_spec", lambda name: object())
    path = tmp_path / "x.grib2"
    path.write_bytes(b"GRIB" + bytes(100))
    with pytest.raises(NotARadarFile, match="too long"):
        read([path])


def test_a_huge_grid_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child = tmp_path / "child.py"
    child.write_text("""print('{"Ni": 100000, "Nj": 100000, "message": 0}')""")
    monkeypatch.setattr(grib, "SCRIPT", child)
    monkeypatch.setattr(subprocess_decoding.importlib.util, "find_spec", lambda name: object())
    path = tmp_path / "x.grib2"
    path.write_bytes(b"GRIB" + bytes(100))
    with pytest.raises(TooLarge, match="100000 x 100000"):
        read([path])


def sections(message: bytes) -> dict[int, int]:
    """Where each section of a GRIB2 message starts."""
    starts = {}
    offset = 16
    while message[offset : offset + 4] != b"7777":
        starts[message[offset + 4]] = offset
        offset += int.from_bytes(message[offset : offset + 4], "big")
    return starts


@needs_eccodes
@pytest.mark.parametrize("where", [{3: 6}, {5: 5}, {3: 6, 5: 5}], ids=["data points", "packed values", "both"])
def test_counts_that_disagree_with_the_grid_are_refused_before_use(
    write_grib: Callable[..., Path], where: dict[int, int]
) -> None:
    path = write_grib("x.grib2", {"values": [0.0] * 6, "bitsPerValue": 0})
    message = bytearray(path.read_bytes())
    assert len(message) == 179
    starts = sections(message)
    for section, octet in where.items():
        message[starts[section] + octet : starts[section] + octet + 4] = (50_000_000).to_bytes(4, "big")
    path.write_bytes(message)
    script = (
        "import resource, sys; from pathlib import Path; from model.readers import read\n"
        "try: read([Path(sys.argv[1])])\n"
        "except Exception as error: print(error)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], check=True, capture_output=True, text=True)
    said, peak_kb = done.stdout.splitlines()
    assert "the grid is 2 x 3, the declared number of values is 50000000" in said
    assert int(peak_kb) < 300_000  # 50 million values are 400 MB


@pytest.mark.parametrize("count", [50_000_000, 5])
def test_a_child_with_another_number_of_values_than_its_grid_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    child = tmp_path / "child.py"
    child.write_text(f"""print('{{"Ni": 3, "Nj": 2, "message": 0, "values": {count}}}')""")
    monkeypatch.setattr(grib, "SCRIPT", child)
    monkeypatch.setattr(subprocess_decoding.importlib.util, "find_spec", lambda name: object())
    path = tmp_path / "x.grib2"
    path.write_bytes(b"GRIB" + bytes(100))
    with pytest.raises(NotARadarFile, match=f"the grid is 2 x 3, the number of values is {count}"):
        read([path])


@needs_eccodes
def test_the_limit_of_the_caller_counts(write_grib: Callable[..., Path]) -> None:
    two = [write_grib(f"{minute}.grib2", {"dataTime": minute}) for minute in (0, 10)]
    assert len(read(two, max_pixels=12)) == 2
    for most in (11, 5):
        with pytest.raises(TooLarge, match=rf"0\.grib2: the file declares 1 x 2 x 3 pixels.* {most} in all"):
            read(two, max_pixels=most)


def test_an_interrupt_ends_the_children_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object) -> None:
        raise Interrupted

    child = tmp_path / "child.py"
    child.write_text(f"""
import os, pathlib, signal, sys, time
if "2.grib2" in sys.stdin.read():
    os.kill(os.getppid(), signal.SIGALRM)
time.sleep({WAIT_SECONDS})
pathlib.Path(r"{tmp_path}", "survived").touch()
""")
    monkeypatch.setattr(grib, "SCRIPT", child)
    monkeypatch.setattr(subprocess_decoding, "SECONDS_PER_FILE", 2.0 * WAIT_SECONDS)
    monkeypatch.setattr(subprocess_decoding.importlib.util, "find_spec", lambda name: object())
    paths = [tmp_path / f"{number}.grib2" for number in range(3)]
    for path in paths:
        path.write_bytes(b"GRIB" + bytes(100))
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(Interrupted):
            read(paths)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert not (tmp_path / "survived").exists()


def test_without_eccodes_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess_decoding.importlib.util, "find_spec", lambda name: None)
    path = tmp_path / "x.grib2"
    path.write_bytes(b"GRIB" + bytes(100))
    with pytest.raises(MissingDependency, match=r"x\.grib2.*echocast\[grib\]"):
        read([path])


def test_eccodes_without_its_library_is_a_missing_dependency(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child = tmp_path / "child.py"
    child.write_text("""print('{"unavailable": "RuntimeError: no library"}')""")
    monkeypatch.setattr(grib, "SCRIPT", child)
    monkeypatch.setattr(subprocess_decoding.importlib.util, "find_spec", lambda name: object())
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
