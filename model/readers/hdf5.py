"""What the readers of HDF5 formats share: opening safely, and attributes as plain Python values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from model.core.errors import NotARadarFile
from model.readers.source import Budget

MAGIC: Final = b"\x89HDF\r\n\x1a\n"
SELF_CONTAINED: Final = "Give a file that holds its own data"


@contextmanager
def open_hdf5(path: Path) -> Iterator[Any]:
    """The open `h5py.File`. Any: h5py ships no types."""
    import h5py

    with h5py.File(path, "r") as file:
        yield file


def read_array(file: Any, name: str, budget: Budget) -> NDArray[Any]:  # noqa: ANN401  (an h5py.File)
    """The one frame of a file: a 2-D numeric array.

    Raises
    ------
    NotARadarFile
        Absent, or not a 2-D array of numbers.
    TooLarge
        It declares an unreasonable size, or more than the budget holds.
    """
    import h5py

    dataset = file.get(name)
    if not isinstance(dataset, h5py.Dataset):
        raise NotARadarFile(f"it has no array {name}", hint="Give a radar image")
    if dataset.ndim != 2 or dataset.dtype.kind not in "iuf":
        raise NotARadarFile(f"{name} is not a two-dimensional array of numbers", hint="Give a radar image")
    budget.take(1, *dataset.shape)
    return np.asarray(dataset[()])


def attribute(file: Any, group: str, name: str) -> Any:  # noqa: ANN401  (a str or a number)
    """An attribute as str or as its NumPy scalar (the first element of an array).

    Raises
    ------
    NotARadarFile
        The group or the attribute is absent.
    """
    value = optional_attribute(file, group, name)
    if value is None:
        raise NotARadarFile(f"it lacks the attribute {name} of /{group}", hint="Give a file as its producer wrote it")
    return value


def optional_attribute(file: Any, group: str, name: str) -> Any:  # noqa: ANN401
    """Like `attribute`, but None where absent."""
    values = attribute_values(file, group, name)
    if not values.size:
        return None
    first = values[0]
    return first.decode("utf-8", "replace").strip("\x00 ") if isinstance(first, bytes) else first


def attribute_values(file: Any, group: str, name: str) -> NDArray[Any]:  # noqa: ANN401
    """All elements of an attribute; none where it is absent."""
    node = file.get(group) if group else file
    if node is None or name not in node.attrs:
        return np.empty(0)
    return np.asarray(node.attrs[name]).reshape(-1)


def check_self_contained(path: Path) -> None:
    """Refuse a file that points outside itself; every HDF5 file goes through this before a reader looks inside.

    A file may point at other files of the machine that reads it: by external links (soft links may lead through
    them), external storage, and virtual data sets. An uploaded file must not reach them.

    Raises
    ------
    NotARadarFile
        A link, or the bytes of an array, lead out of the file.
    """
    import h5py

    # A walk of our own: h5py's visititems turns what a signal raises inside its callback into SystemError.
    with open_hdf5(path) as file:
        groups = [file["/"]]
        seen = {h5py.h5o.get_info(file["/"].id).addr}
        while groups:
            group = groups.pop()
            for name in group:
                link = group.get(name, getlink=True)
                if isinstance(link, h5py.SoftLink):
                    continue  # it stays inside, or goes through an external link, which is met in its own place
                node = None if isinstance(link, h5py.ExternalLink) else group[name]
                if node is None or (isinstance(node, h5py.Dataset) and (node.external or node.is_virtual)):
                    raise NotARadarFile(f"{group.name.rstrip('/')}/{name} points outside the file", hint=SELF_CONTAINED)
                address = h5py.h5o.get_info(node.id).addr
                if isinstance(node, h5py.Group) and address not in seen:  # hard links may run in circles
                    seen.add(address)
                    groups.append(node)
