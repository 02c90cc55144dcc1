"""One layer of gzip, bzip2 or zip around any format, of bounded size."""

from __future__ import annotations

import bz2
import gzip
import io
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from model.core.errors import NotARadarFile, TooLarge
from model.readers import decompression, read
from model.readers.limits import PixelBudget

Write = Callable[..., Path]
Pack = Callable[[str, bytes], bytes]


def zipped(name: str, content: bytes, *, method: int = zipfile.ZIP_DEFLATED, **others: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr(name, content)
        for other, more in others.items():
            archive.writestr(other.replace("_", "."), more)
    return file.getvalue()


PACKS: dict[str, Pack] = {
    ".gz": lambda name, content: gzip.compress(content),
    ".bz2": lambda name, content: bz2.compress(content),
    ".zip": zipped,
}


@pytest.fixture(autouse=True)
def nothing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """Check that no decompressed file remains after a test."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("suffix", PACKS)
@pytest.mark.parametrize("kind", ["knmi", "odim", "npz"])
def test_a_compressed_file_gives_what_the_plain_one_gives(
    tmp_path: Path, write_knmi: Write, write_odim: Write, write_npz: Write, suffix: str, kind: str
) -> None:
    npz = {"rain_rate": np.ones((1, 4, 5), np.float32), "times": ["2024-06-01T00:00"]}
    plain = {"knmi": write_knmi, "odim": write_odim, "npz": lambda: write_npz(**npz)}[kind]()
    path = tmp_path / f"frame{suffix}"
    path.write_bytes(PACKS[suffix](plain.name, plain.read_bytes()))
    one, other = read([plain]), read([path])
    np.testing.assert_array_equal(one.rain_rate, other.rain_rate)
    assert one.times[0] == other.times[0]
    assert one.grid.matches(other.grid)
    assert one.attributes == other.attributes


@pytest.mark.parametrize("suffix", PACKS)
@pytest.mark.parametrize("file", ["mrms/PrecipRate_00.00_20190610-000000.grib2", "bom/66_20201031_060000.prcp-c10.nc"])
def test_real_files(tmp_path: Path, real_data: Path, suffix: str, file: str) -> None:
    path = tmp_path / "upload"
    path.write_bytes(PACKS[suffix](file.rpartition("/")[2], (real_data / file).read_bytes()))
    sequence = read([path], names=[f"theirs{suffix}"])
    np.testing.assert_array_equal(sequence.rain_rate, read([real_data / file]).rain_rate)


def test_the_time_may_be_in_the_name_of_a_compressed_file(tmp_path: Path) -> None:
    from PIL import Image

    png = io.BytesIO()
    Image.fromarray(np.zeros((480, 480), np.uint8)).save(png, "PNG")
    for suffix, pack in PACKS.items():
        path = tmp_path / f"upload{suffix}"
        path.write_bytes(pack("RAD160101000600.png", png.getvalue()))
        name = "frame.zip" if suffix == ".zip" else f"RAD160101000600.png{suffix}"
        assert str(read([path], names=[name]).times[0]).startswith("2016-01-01T00:06")


def test_members_that_are_no_data_do_not_count(tmp_path: Path, write_knmi: Write) -> None:
    content = write_knmi().read_bytes()
    path = tmp_path / "with_readme.zip"
    path.write_bytes(zipped("a.h5", content, README_txt=b"Dear user", LICENSE_md=b"CC BY"))
    assert len(read([path])) == 1
    path.write_bytes(zipped("a.h5", content, b_h5=content))
    with pytest.raises(NotARadarFile, match=r"readme\.zip: this is a zip archive of 2 files \(a\.h5, b\.h5\)"):
        read([path])
    path.write_bytes(zipped("README.txt", b"nothing else"))
    with pytest.raises(NotARadarFile, match="zip archive without data"):
        read([path])


@pytest.mark.parametrize("outer", PACKS)
@pytest.mark.parametrize("inner", PACKS)
def test_two_layers_are_refused(tmp_path: Path, write_knmi: Write, outer: str, inner: str) -> None:
    path = tmp_path / "twice"
    path.write_bytes(PACKS[outer]("a", PACKS[inner]("b.h5", write_knmi().read_bytes())))
    with pytest.raises(NotARadarFile, match=r"theirs: the file is \w+ inside \w+, and only one layer"):
        read([path], names=["theirs"])


@pytest.mark.parametrize("suffix", PACKS)
def test_a_bomb_is_refused_at_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_knmi: Write, suffix: str
) -> None:
    monkeypatch.setattr(decompression, "MIN_LIMIT_BYTES", 1 << 20)
    path = tmp_path / f"bomb{suffix}"
    path.write_bytes(PACKS[suffix]("a.h5", bytes(50 << 20)))
    with pytest.raises(TooLarge, match=r"theirs: the decompressed file exceeds the limit of 1,048,576 bytes"):
        read([path], names=["theirs"], max_pixels=1000)
    # The limit is for all files together.
    path.write_bytes(PACKS[suffix]("a.h5", write_knmi().read_bytes().ljust(600_000, b"\0")))
    assert len(read([path], max_pixels=1000)) == 1
    with pytest.raises(TooLarge, match="limit of 448,576 bytes"):
        read([path, path], max_pixels=1000)


@pytest.mark.parametrize("suffix", PACKS)
@pytest.mark.parametrize("cut", [0.02, 0.5, 0.98])
def test_a_cut_one_is_damaged(tmp_path: Path, write_knmi: Write, suffix: str, cut: float) -> None:
    noise = np.random.default_rng(1).integers(0, 100, (40, 30)).astype(np.uint16)
    whole = PACKS[suffix]("a.h5", write_knmi(pixels=noise).read_bytes())
    path = tmp_path / "cut"
    path.write_bytes(whole[: int(len(whole) * cut)])
    with pytest.raises(NotARadarFile) as caught:
        read([path], names=["theirs"])
    assert caught.value.where == "theirs"
    assert "echocast-" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".gz", ".bz2"])
def test_what_follows_is_read_or_refused(tmp_path: Path, write_knmi: Write, suffix: str) -> None:
    pack, content = PACKS[suffix], write_knmi().read_bytes()
    path = tmp_path / "theirs"
    path.write_bytes(pack("a.h5", content[:1000]) + pack("a.h5", content[1000:]) + bytes(20))
    assert len(read([path])) == 1
    path.write_bytes(pack("a.h5", content) + b"junk")
    with pytest.raises(NotARadarFile, match="theirs: the file cannot be read as"):
        read([path])


def test_a_full_disk_is_reported(tmp_path: Path, write_knmi: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.h5.gz"
    path.write_bytes(gzip.compress(write_knmi().read_bytes()))
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    monkeypatch.setattr(decompression, "Path", lambda folder, name: Path("/dev/full"))
    with pytest.raises(TooLarge, match="no disk space to decompress"):
        read([path])


def test_plain_files_stay_where_they_are(write_knmi: Write) -> None:
    from model.readers.source import Source

    source = Source(path=write_knmi(), name="a.h5")
    with decompression.decompressed([source], PixelBudget()) as plain:
        assert plain == [source]
