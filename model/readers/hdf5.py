"""Access to HDF5 for the readers of HDF5 formats: safe opening, arrays and attributes."""

from __future__ import annotations

import math
import struct
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from model.core.errors import NotARadarFile, TooLarge
from model.readers.limits import FETCH_AGAIN, MAX_CHUNKS, MAX_UNSTORED_BYTES, MIN_STORED, PixelBudget

if TYPE_CHECKING:
    from h5py import Dataset, File

MAGIC: Final = b"\x89HDF\r\n\x1a\n"
MAX_SUPERBLOCK_BYTES: Final = 96
GLOBAL_HEAP: Final = b"GCOL\x01\0\0\0"
HEAP_OBJECT: Final = struct.Struct("<HHIQ")
"""Index (0: free space), references, reserved, size (of free space with this head)."""
SELF_CONTAINED: Final = "Give a file that contains all data"


def open_hdf5(path: Path) -> File:
    """Open a file for reading, in a `with` block."""
    import h5py

    return h5py.File(path, "r")


def read_array(file: File, name: str, budget: PixelBudget) -> NDArray[Any]:
    """Read a 2-D numeric array, the one frame of a file.

    Raises
    ------
    NotARadarFile
        The array is absent, or not a 2-D array of numbers.
    TooLarge
        The declared size is unreasonable, or exceeds the budget.
    """
    import h5py

    dataset = file.get(name)
    if not isinstance(dataset, h5py.Dataset):
        raise NotARadarFile(f"the file has no array {name}", hint="Give a radar image")
    if dataset.ndim != 2 or dataset.dtype.kind not in "iuf":
        raise NotARadarFile(f"{name} is not a two-dimensional array of numbers", hint="Give a radar image")
    budget.take(1, *dataset.shape)
    check_storage(dataset)
    return np.asarray(dataset[()])


def check_storage(dataset: Dataset) -> None:
    """Check how an array is stored, before it is read; its shape has been checked.

    A file of some kB may declare an array of any size: in chunks of one pixel, or without any value but the fill value.

    Raises
    ------
    TooLarge
        It has more than `MAX_CHUNKS` chunks.
    NotARadarFile
        Its values were never written.
    """
    if dataset.chunks is not None:
        chunks = math.prod(-(-length // chunk) for length, chunk in zip(dataset.shape, dataset.chunks, strict=True))
        if chunks > MAX_CHUNKS:
            raise TooLarge(
                f"{dataset.name} is stored in {chunks:,} chunks, the limit is {MAX_CHUNKS:,}",
                hint="Store it in larger chunks (h5repack, nccopy -c)",
            )
    size, stored = dataset.size * dataset.dtype.itemsize, dataset.id.get_storage_size()
    if size > MAX_UNSTORED_BYTES and stored < size * MIN_STORED:
        raise NotARadarFile(
            f"{dataset.name} declares {size:,} bytes, of which the file stores {stored:,}",
            hint="Give a file whose values were written",
        )


def attribute(file: File, group: str, name: str) -> Any:  # noqa: ANN401  (a str or a number)
    """Return an attribute as str or NumPy scalar, of an array the first element.

    Raises
    ------
    NotARadarFile
        The group or the attribute is absent.
    """
    value = optional_attribute(file, group, name)
    if value is None:
        raise NotARadarFile(
            f"the file lacks the attribute {name} of /{group}", hint="Give the file as its producer wrote it"
        )
    return value


def optional_attribute(file: File, group: str, name: str) -> Any:  # noqa: ANN401  (a str or a number)
    """Return an attribute as `attribute` does, None where it is absent."""
    values = attribute_values(file, group, name)
    if not values.size:
        return None
    first = values[0]
    return first.decode("utf-8", "replace").strip("\x00 ") if isinstance(first, bytes) else first


def attribute_values(file: File, group: str, name: str) -> NDArray[Any]:
    """Return all elements of an attribute, an empty array where it is absent."""
    node = file.get(group) if group else file
    if node is None or name not in node.attrs:
        return np.empty(0)
    return np.asarray(node.attrs[name]).reshape(-1)


def check_global_heaps(path: Path) -> None:
    """Check the heaps of a file, which hold texts and lists of any length; every HDF5 file passes this check first.

    The library goes on by the size of each object, without end where it is nothing. HDF5 File Format Specification
    3.0, III.E, with lengths of 8 bytes.

    Raises
    ------
    NotARadarFile
        An object has no size, or one beyond all files.
    """
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        heap = content.find(GLOBAL_HEAP)
        while heap >= 0:
            end = min(heap + int.from_bytes(content[heap + 8 : heap + 16], "little"), len(content))
            offset = heap + 16
            while offset + HEAP_OBJECT.size <= end:
                index, _, _, size = HEAP_OBJECT.unpack_from(content, offset)
                if size > len(content) or (index == 0 and size == 0):
                    raise NotARadarFile("a heap of the file is damaged", hint=FETCH_AGAIN)
                offset += size if index == 0 else HEAP_OBJECT.size + -(-size // 8) * 8
            heap = content.find(GLOBAL_HEAP, heap + 1)


def check_self_contained(path: Path) -> None:
    """Check that a file does not refer to other files; every HDF5 file passes this check before any reader.

    A file may refer to other files of the machine by external links (soft links may lead through them), external
    storage and virtual data sets. An uploaded file must not reach them.

    Raises
    ------
    NotARadarFile
        A link or an array leads out of the file, or its driver is another than the one for single files.
    """
    import h5py

    with path.open("rb") as start:
        if _names_driver(start.read(MAX_SUPERBLOCK_BYTES)):
            raise NotARadarFile("the file is written with a driver of its own", hint=SELF_CONTAINED)
    # Not h5py's visititems: an exception that a signal handler raises inside of its callback becomes SystemError.
    with open_hdf5(path) as file:
        groups = [file["/"]]
        visited = {h5py.h5o.get_info(file["/"].id).addr}
        while groups:
            group = groups.pop()
            for name in group:
                link = group.get(name, getlink=True)
                if isinstance(link, h5py.SoftLink):
                    continue  # leads to a node inside, or through an external link, which the walk finds by itself
                node = None if isinstance(link, h5py.ExternalLink) else group[name]
                if node is None or (isinstance(node, h5py.Dataset) and (node.external or node.is_virtual)):
                    raise NotARadarFile(f"{group.name.rstrip('/')}/{name} points outside the file", hint=SELF_CONTAINED)
                address = h5py.h5o.get_info(node.id).addr
                if isinstance(node, h5py.Group) and address not in visited:  # hard links may form cycles
                    visited.add(address)
                    groups.append(node)


def _names_driver(superblock: bytes) -> bool:
    """Whether a superblock of version 0 or 1 refers to a driver information block, as of a file in several parts.

    The library allocates as many bytes as such a block says, up to 4 GB. HDF5 File Format Specification 3.0, II.A.
    """
    if len(superblock) < MAX_SUPERBLOCK_BYTES or superblock[8] > 1:
        return False
    version, size = superblock[8], superblock[13]
    address = 24 + 4 * version + 3 * size
    return superblock[address : address + size] != b"\xff" * size
