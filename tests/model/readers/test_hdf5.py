"""An uploaded HDF5 file must not reach other files of the machine that reads it, nor take its memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import netCDF4
import numpy as np
import pytest

from model.core.errors import InputError, NotARadarFile, TooLarge
from model.core.interrupt import Interrupted
from model.readers import read

Write = Callable[..., Path]
IMAGE = "image1/image_data"


def test_an_array_stored_in_another_file_is_refused(write_knmi: Write, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"0123456789abcdefghijklmn")
    path = write_knmi()
    with h5py.File(path, "a") as file:
        del file[IMAGE]
        file.create_dataset(IMAGE, shape=(4, 3), dtype="u2", external=[(str(secret), 0, 24)])
    with pytest.raises(NotARadarFile, match="points outside the file"):
        read([path])


def test_a_link_into_another_file_is_refused(write_knmi: Write) -> None:
    other = write_knmi("other.h5")
    path = write_knmi()
    with h5py.File(path, "a") as file:
        del file[IMAGE]
        file[IMAGE] = h5py.ExternalLink(str(other), f"/{IMAGE}")
    with pytest.raises(NotARadarFile, match="points outside the file"):
        read([path])


def test_a_virtual_array_is_refused(write_knmi: Write) -> None:
    other = write_knmi("other.h5")
    path = write_knmi()
    layout = h5py.VirtualLayout(shape=(4, 3), dtype="u2")
    layout[:] = h5py.VirtualSource(str(other), IMAGE, shape=(4, 3))
    with h5py.File(path, "a") as file:
        del file[IMAGE]
        file.create_virtual_dataset(IMAGE, layout)
    with pytest.raises(NotARadarFile, match="points outside the file"):
        read([path])


def test_netcdf_that_stores_elsewhere_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(24))
    path = tmp_path / "x.nc"
    with h5py.File(path, "w") as file:
        file.create_dataset("deep/rainfall_rate", shape=(4, 3), dtype="u2", external=[(str(secret), 0, 24)])
    with pytest.raises(NotARadarFile, match="points outside the file"):
        read([path])


@pytest.mark.parametrize("format", ["odim", "knmi", "netcdf"])
@pytest.mark.parametrize("through", ["link", "soft link"])
def test_attributes_of_another_file_are_never_read(
    write_knmi: Write, tmp_path: Path, format: str, through: str
) -> None:
    secret = write_knmi("secret.h5", parameter="SECRET")
    with h5py.File(secret, "a") as file:
        file.create_group("what").attrs.update(object=np.bytes_("SECRET"))
    group = {"odim": "what", "knmi": "image1", "netcdf": "anything"}[format]
    path = tmp_path / "upload"
    with h5py.File(path, "w") as file:
        file["deep/other"] = h5py.ExternalLink(str(secret), "/")
        if through == "link":
            file[group] = h5py.ExternalLink(str(secret), f"/{group}")
        else:
            file[group] = h5py.SoftLink(f"/deep/other/{group}")
        if format == "knmi":
            file.create_group("overview")
    with pytest.raises(NotARadarFile, match="points outside the file") as caught:
        read([path], names=["theirs.h5"])
    assert "SECRET" not in str(caught.value)


def test_links_within_the_file_are_followed(write_knmi: Write) -> None:
    path = write_knmi()
    with h5py.File(path, "a") as file:
        file.move("geographic", "elsewhere")
        file["geographic"] = h5py.SoftLink("/elsewhere")
        file["circle/round"] = file["/"]
        file["dangling"] = h5py.SoftLink("/nowhere")
    assert len(read([path])) == 1


def test_an_interrupt_while_links_are_checked_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object, **options: object) -> None:
        raise Interrupted

    with h5py.File(tmp_path / "x", "w") as file:
        file["deep/array"] = [1]
    monkeypatch.setattr(h5py.Group, "get", interrupt)
    with pytest.raises(Interrupted):
        read([tmp_path / "x"])


def test_an_image_that_is_no_array_is_refused(write_knmi: Write) -> None:
    path = write_knmi()
    with h5py.File(path, "a") as file:
        del file[IMAGE]
        file[IMAGE] = np.array([b"text"])
    with pytest.raises(NotARadarFile, match="not a two-dimensional array"):
        read([path])
    with h5py.File(path, "a") as file:
        del file[IMAGE]
    with pytest.raises(NotARadarFile, match="no array image1/image_data"):
        read([path])


@pytest.mark.parametrize("reader", ["odim", "netcdf"])
@pytest.mark.parametrize(
    ("shape", "chunks", "kind", "words"),
    [((1000, 1000), (1, 1), TooLarge, "chunks"), ((12_000, 12_000), (6000, 6000), NotARadarFile, "stores 0")],
    ids=["chunks of one pixel", "never written"],
)
def test_what_a_small_file_only_declares_is_refused_before_it_is_read(
    tmp_path: Path, reader: str, shape: tuple[int, int], chunks: tuple[int, int], kind: type[InputError], words: str
) -> None:
    path = tmp_path / "small.h5"
    if reader == "odim":
        with h5py.File(path, "w") as file:
            file.attrs["Conventions"] = np.bytes_("ODIM_H5/V2_2")
            file.create_group("what").attrs["object"] = np.bytes_("COMP")
            file.create_dataset("dataset1/data1/data", shape, np.uint8, chunks=chunks, compression="gzip")
            file.create_group("dataset1/data1/what").attrs["quantity"] = np.bytes_("RATE")
    else:
        with netCDF4.Dataset(path, "w") as file:
            for name, length in zip("yx", shape, strict=True):
                file.createDimension(name, length)
                coordinate = file.createVariable(name, "f8", (name,))
                coordinate.units = "m"
                coordinate.standard_name = f"projection_{name}_coordinate"
                coordinate[:] = np.arange(length) * 1000.0
            rain = file.createVariable("rain_rate", "f4", ("y", "x"), chunksizes=chunks, zlib=True)
            rain.units = "mm h-1"
    assert path.stat().st_size < 300_000
    with pytest.raises(kind, match=words):
        read([path])


def test_a_driver_of_its_own_is_refused_before_the_library_allocates_what_its_block_says(tmp_path: Path) -> None:
    path = tmp_path / "parts.h5"
    with h5py.File(path, "w", libver="earliest") as file:
        file["data"] = 1
    content = bytearray(path.read_bytes())
    assert content[48:56] == b"\xff" * 8  # the address of the driver information block: none
    content[48:56] = (100).to_bytes(8, "little")
    path.write_bytes(content)
    with pytest.raises(NotARadarFile, match="driver of its own"):
        read([path])


@pytest.mark.parametrize("size", [0, 8], ids=["nothing", "less than there is"])
def test_a_heap_in_which_the_library_would_turn_for_ever_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "heap.h5"
    with h5py.File(path, "w") as file:
        file.attrs["Conventions"] = "ODIM_H5/V2_2"  # of variable length: in a global heap
    content = bytearray(path.read_bytes())
    free_space = content.index(b"GCOL") + 16 + 16 + 16  # after the heap's head, and the object with the 12 bytes
    assert content[free_space : free_space + 2] == b"\0\0"
    content[free_space + 8 : free_space + 16] = size.to_bytes(8, "little")
    path.write_bytes(content)
    with pytest.raises(NotARadarFile, match="heap of the file is damaged"):
        read([path])
