"""Files that appear whole, once, or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path

from model.core.atomic import atomic_file, remove_leftovers
from model.core.errors import InputError


class CannotPublish(InputError):
    code = "cannot-publish"


def check_opens(path: Path, shape: tuple[int, ...]) -> None:
    """Raise where a netCDF file that was just written does not hold rain of that shape."""
    import netCDF4

    with netCDF4.Dataset(path) as dataset:
        found = tuple(dataset["rainfall_rate"].shape)
        dataset["rainfall_rate"][-1]
    if found != shape:
        raise RuntimeError(f"{path.name} was written with shape {found}, not {shape}")


def put_file(source: Path, target: Path, *, replace: bool = False) -> bool:
    """Copy `source` to `target` by a temporary name beside it. False: `target` was there, and stays as it is, unless
    it is to be replaced.

    Raises
    ------
    CannotPublish
        The folder of `target` cannot be written.
    """
    try:
        with source.open("rb") as reader, atomic_file(target, overwrite=replace) as writer:
            shutil.copyfileobj(reader, writer, 1 << 20)
        remove_leftovers(target)
    except FileExistsError:
        return False
    except OSError as error:
        raise CannotPublish(
            f"the nowcast cannot be written ({error.strerror})",
            where=str(target),
            hint="Make its folder writable for the worker, or name another folder as out",
        ) from error
    return True
