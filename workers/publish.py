"""Files that appear whole, once, or not at all."""

from __future__ import annotations

import os
from glob import escape as glob_escape
from pathlib import Path

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
    part = target.with_name(f".{target.name}.{os.urandom(6).hex()}.part")
    try:
        try:
            _copy(source, part)
            first = True
            if replace:
                part.replace(target)
            else:
                first = _link(part, target)
        finally:
            part.unlink(missing_ok=True)
        for stale in target.parent.glob(f".{glob_escape(target.name)}.*.part"):
            stale.unlink(missing_ok=True)
    except OSError as error:
        raise CannotPublish(
            f"the nowcast cannot be written ({error.strerror})",
            where=str(target),
            hint="Make its folder writable for the worker, or name another folder as out",
        ) from error
    return first


def _copy(source: Path, part: Path) -> None:
    with source.open("rb") as reader, part.open("xb") as writer:
        while piece := reader.read(1 << 20):
            writer.write(piece)
        writer.flush()
        os.fsync(writer.fileno())


def _link(part: Path, target: Path) -> bool:
    """Give the whole file its name. A link fails where the name is taken; rename where there are no links."""
    try:
        os.link(part, target)
    except FileExistsError:
        return False
    except OSError:
        if target.exists():
            return False
        part.rename(target)
    return True
