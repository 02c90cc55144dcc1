"""What the readers of HDF5 formats share: opening safely, and attributes as plain Python values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from model.core.errors import NotARadarFile
from model.readers.source import check_size

MAGIC: Final = b"\x89HDF\r\n\x1a\n"
SELF_CONTAINED: Final = "Give a file that holds its own data"


@contextmanager
def open_hdf5(path: Path) -> Iterator[Any]:
    """The open `h5py.File`. Any: h5py ships no types."""
    import h5py

    with h5py.File(path, "r") as file:
        yield file


def read_array(file: Any, name: str) -> NDArray[Any]:  # noqa: ANN401  (an h5py.File)
    """A 2-D numeric array that lies inside this file.

    A file may point at bytes of other files on the machine that reads it (external links, external storage,
    virtual data sets); an uploaded file must not reach them.

    Raises:
        NotARadarFile: absent, elsewhere, or not a 2-D array of numbers.
        TooLarge: it declares an unreasonable size.
    """
    dataset = own_dataset(file, name)
    if dataset.ndim != 2 or dataset.dtype.kind not in "iuf":
        raise NotARadarFile(f"{name} is not a two-dimensional array of numbers", mend="Give a radar image")
    check_size(*dataset.shape)
    return np.asarray(dataset[()])


def own_dataset(file: Any, name: str) -> Any:  # noqa: ANN401
    """The data set `name`, which must lie inside this very file."""
    import h5py

    dataset = file.get(name)
    if not isinstance(dataset, h5py.Dataset):
        raise NotARadarFile(f"it has no array {name}", mend="Give a radar image")
    if dataset.file.filename != file.filename or dataset.external is not None or dataset.is_virtual:
        raise NotARadarFile(f"{name} points outside the file", mend=SELF_CONTAINED)
    return dataset


def attribute(file: Any, group: str, name: str) -> Any:  # noqa: ANN401  (a str or a number)
    """An attribute as str or as its NumPy scalar (the first element of an array).

    Raises:
        NotARadarFile: the group or the attribute is absent.
    """
    value = optional_attribute(file, group, name)
    if value is None:
        raise NotARadarFile(f"it lacks the attribute {name} of /{group}", mend="Give a file as its producer wrote it")
    return value


def optional_attribute(file: Any, group: str, name: str) -> Any:  # noqa: ANN401
    """Like `attribute`, but None where absent."""
    node = file.get(group) if group else file
    if node is None or name not in node.attrs:
        return None
    values = np.asarray(node.attrs[name]).reshape(-1)
    if not values.size:
        return None
    first = values[0]
    return first.decode("utf-8", "replace").strip("\x00 ") if isinstance(first, bytes) else first


def check_self_contained(path: Path) -> None:
    """Refuse a file with an array that lies outside it, for libraries that would follow (see `read_array`).

    Raises:
        NotARadarFile: an array points outside the file.
    """
    import h5py

    arrays: list[str] = []
    elsewhere: list[str] = []
    with open_hdf5(path) as file:

        def visit(name: str, link: object) -> None:  # must not raise: h5py calls it from C
            if isinstance(link, h5py.ExternalLink):
                elsewhere.append(name)
            elif isinstance(link, h5py.HardLink) and file.get(name, getclass=True) is h5py.Dataset:
                arrays.append(name)

        file.visititems_links(visit)
        if elsewhere:
            raise NotARadarFile(f"{elsewhere[0]} points outside the file", mend=SELF_CONTAINED)
        for name in arrays:
            own_dataset(file, name)
