"""Publish result files atomically."""

from __future__ import annotations

import shutil
from pathlib import Path

from model.core.atomic import atomic_file, remove_leftovers
from model.core.errors import InputError
from model.core.forecast_variables import field_variable


class CannotPublish(InputError):
    """A result cannot be written to the folder that the operator chose."""

    code = "cannot-publish"


def check_opens(path: Path, shape: tuple[int, ...]) -> None:
    """Raise RuntimeError if a netCDF file that was just written does not hold a field of rain of that shape."""
    import netCDF4

    with netCDF4.Dataset(path) as dataset:
        name = field_variable({name: variable.dimensions for name, variable in dataset.variables.items()})
        found = tuple(dataset[name].shape)
        dataset[name][(-1,) * len(found)]  # decompresses the chunk that was written last
    if found != shape:
        raise RuntimeError(f"{path.name} was written with shape {found}, not {shape}")


def put_file(source: Path, target: Path) -> None:
    """Copy a file under a temporary name, and rename it; a file that is there is replaced.

    Raises
    ------
    CannotPublish
        The folder of `target` cannot be written.
    """
    try:
        with source.open("rb") as reader, atomic_file(target, overwrite=True) as writer:
            shutil.copyfileobj(reader, writer, 1 << 20)
        remove_leftovers(target)
    except OSError as error:
        raise CannotPublish(
            f"the nowcast cannot be written ({error.strerror})",
            where=str(target),
            hint="Make its folder writable for the worker, or name another folder as out",
        ) from error
